"""Following a burst's phase: residual carrier offset, phase drift and clock drift, from known elements.

Training and pilots serve alike. ``observed`` holds received over sent values at known elements and 0
elsewhere, shape (symbols, subcarriers).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.modem.peaks import vertex

PILOTS_PER_ESTIMATE = 32.0
"""Known elements behind one phase estimate: its error then costs below 0.1 dB."""
ENERGY_PER_ESTIMATE = 60.0
"""Their total SNR, so that a weak burst's phase is averaged longer (0.09 rad)."""
MAX_RESIDUAL_TURNS = 0.05
"""Search range of the residual carrier offset, turns per symbol (360 Hz at 2 Msps)."""
DRIFT_REACH_SAMPLES = 3.0
"""Search range of the residual clock drift over a burst, full-band samples."""


def track_phase(
    observed: NDArray[np.complex64], channel: NDArray[np.complex64], known: NDArray[np.bool_], snr: float
) -> NDArray[np.float64]:
    """Common phase of each symbol, rad, shape (symbols,). ``snr``: linear, per subcarrier."""
    common = observed @ np.conj(channel)
    step = _residual_step(common)
    symbol = np.arange(len(common))
    turned = common * np.exp(-1j * step * symbol)
    needed = max(PILOTS_PER_ESTIMATE, ENERGY_PER_ESTIMATE / max(snr, 1e-3))
    window = int(np.ceil(needed / max(float(np.mean(np.count_nonzero(known, axis=1))), 1e-9)))
    return step * symbol + np.unwrap(np.angle(_moving_sum(turned, window)))


def _residual_step(common: NDArray[np.complex64]) -> float:
    """Strongest rotation per symbol within the search range, rad."""
    size = fft.next_fast_len(8 * len(common))
    energy = np.abs(fft.fft(common, size))
    reach = max(int(MAX_RESIDUAL_TURNS * size), 1)
    candidates = np.arange(-reach, reach + 1)
    peak = int(candidates[np.argmax(energy[candidates])])
    fraction = vertex(energy[peak - 1], energy[peak], energy[(peak + 1) % size])
    return float(2.0 * np.pi / size * (peak + fraction))


def _moving_sum(values: NDArray[np.complex64], window: int) -> NDArray[np.complex128]:
    """Sum over ``window`` neighbours on either side together, fewer at the ends."""
    half = max(window // 2, 0)
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.complex128)])
    index = np.arange(len(values))
    result: NDArray[np.complex128] = (
        total[np.minimum(index + half + 1, len(values))] - total[np.maximum(index - half, 0)]
    )
    return result


def track_clock_drift(
    observed: NDArray[np.complex64],
    channel: NDArray[np.complex64],
    subcarriers: NDArray[np.int64],
    fft_size: int,
    origin: float,
) -> float:
    """Residual slope per symbol and subcarrier, rad: a grid search, then two Gauss-Newton steps.

    ``observed`` has its common phase removed; ``origin`` is the symbol at which ``channel`` holds.
    """
    symbol, column = np.nonzero(observed)
    value = observed[symbol, column] * np.conj(channel[column])
    lever = (symbol - origin) * subcarriers[column]
    unit = 2.0 * np.pi / (fft_size * len(observed))
    grid = unit * np.linspace(-DRIFT_REACH_SAMPLES, DRIFT_REACH_SAMPLES, 25)
    slope = max(grid, key=lambda candidate: _aligned(value, lever, candidate).real.sum())
    for _ in range(2):
        aligned = _aligned(value, lever, slope)
        curvature = float(np.sum(lever**2 * np.maximum(aligned.real, 0.0)))
        slope += float(np.sum(lever * aligned.imag)) / max(curvature, 1e-30)
    return float(slope)


def _aligned(value: NDArray[np.complex64], lever: NDArray[np.float64], slope: float) -> NDArray[np.complex64]:
    result: NDArray[np.complex64] = value * np.exp(-1j * (slope * lever).astype(np.float32))
    return result
