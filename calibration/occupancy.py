"""Who is on the band: power over frequency and how much of the time each part of it is in use. Ours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import get_window

USED_FRACTION = 0.8
"""Part of the sample rate that one capture is taken to show; filters fall beyond."""
THRESHOLD_DB = 6.0
"""Above the noise a part of the band is in use; noise alone, averaged over a stretch, does not reach it."""
_SEGMENT = 512
_SEGMENTS_AVERAGED = 16
_BESIDE_CARRIER_BINS = 3
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Occupancy:
    """A band by ascending frequency."""

    frequency_hz: NDArray[np.float64]
    power_dbfs: NDArray[np.float64]
    """Mean in each channel."""
    occupied: NDArray[np.float64]
    """Share of the time in use, 0 to 1."""
    channel_hz: float
    noise_dbfs: float
    """Of one channel."""


def capture_centres(low_hz: float, high_hz: float, rate_hz: float) -> list[float]:
    """Carriers at which captures show a whole band, each ``USED_FRACTION`` of the rate wide."""
    width_hz = USED_FRACTION * rate_hz
    count = max(1, int(np.ceil((high_hz - low_hz) / width_hz - 1e-9)))
    first_hz = 0.5 * (low_hz + high_hz) - 0.5 * (count - 1) * width_hz
    return [first_hz + i * width_hz for i in range(count)]


def occupancy(captures: dict[float, NDArray[np.complex64]], rate_hz: float, channels: int = 16) -> Occupancy:
    """What captures (by carrier, complex64 (n,), full scale 1) show; each is cut into so many channels."""
    width_hz = USED_FRACTION * rate_hz
    powers = np.concatenate([_channel_powers(samples, channels) for _, samples in sorted(captures.items())])
    offsets_hz = (np.arange(channels) + 0.5) * width_hz / channels - 0.5 * width_hz
    frequency_hz = np.concatenate([centre + offsets_hz for centre in sorted(captures)])
    noise = float(np.quantile(powers, 0.2))
    return Occupancy(
        frequency_hz=frequency_hz,
        power_dbfs=_db(powers.mean(axis=1)),
        occupied=np.mean(powers > noise * 10.0 ** (THRESHOLD_DB / 10.0), axis=1),
        channel_hz=width_hz / channels,
        noise_dbfs=float(_db(np.array(noise))),
    )


def bars(scan: Occupancy, width: int) -> list[str]:
    """Lines of text at most ``width`` wide: power as bars, share of the time in use as digits, and the axis."""
    columns = [part for part in np.array_split(np.arange(len(scan.frequency_hz)), width) if len(part)]
    power = np.array([scan.power_dbfs[part].max() for part in columns])
    used = np.array([scan.occupied[part].max() for part in columns])
    heights = np.clip(np.rint((power - scan.noise_dbfs) / 40.0 * (len(_BARS) - 1)), 0, len(_BARS) - 1)
    low, high = (f"{f / 1e6:.1f} MHz" for f in scan.frequency_hz[[0, -1]])
    return [
        "".join(_BARS[int(h)] for h in heights),
        "".join(" " if u < 0.05 else str(min(9, int(10.0 * u))) for u in used),
        low + high.rjust(max(len(high) + 1, len(columns) - len(low))),
    ]


def _channel_powers(samples: NDArray[np.complex64], channels: int) -> NDArray[np.float64]:
    """Power per channel and stretch of time, float64 (channels, stretches); the receiver's DC offset is left out."""
    window = get_window("blackmanharris", _SEGMENT)
    count = len(samples) // (_SEGMENT * _SEGMENTS_AVERAGED)
    segments = samples[: count * _SEGMENT * _SEGMENTS_AVERAGED].reshape(-1, _SEGMENT) * window
    power = np.fft.fftshift(np.abs(np.fft.fft(segments, axis=1)) ** 2, axes=1) / (_SEGMENT * np.sum(window**2))
    middle, beside = _SEGMENT // 2, _BESIDE_CARRIER_BINS + 1
    power[:, middle - beside + 1 : middle + beside] = 0.5 * (power[:, [middle - beside]] + power[:, [middle + beside]])
    edges = np.rint(_SEGMENT * (0.5 + USED_FRACTION * (np.arange(channels + 1) / channels - 0.5))).astype(int)
    per_channel = np.add.reduceat(power, edges[:-1], axis=1)
    per_channel[:, -1] = power[:, edges[-2] : edges[-1]].sum(axis=1)
    means: NDArray[np.float64] = per_channel.reshape(count, _SEGMENTS_AVERAGED, channels).mean(axis=1)
    return means.T


def _db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 10.0 * np.log10(np.maximum(power, 1e-20))
    return result
