"""What the base station knows of each client's channel, from sounding bursts and the silent window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from protocol.bursts import BurstReport, SoundingBurst
from radio.numerology import Numerology

VALUES_PER_RB = 4
"""Places in an RB at which its SINR is judged: echoes of a microsecond bend the channel within an RB."""
DISTURBED = 2.0
"""Noise this many times what was expected is no error of measurement."""
LEAK_DB = 22.0
"""What the silent window's measurement leaks from an RB into the next is at least so much below it."""

Powers = NDArray[np.float64]


class Carrier(Struct):
    """A client's carrier as measured so far; kept from round to round."""

    cfo_correction_hz: float = 0.0
    """What the client adds to its carrier."""

    def corrected(self, measured_cfo_hz: float) -> Carrier:
        """The carrier after a burst that still showed ``measured_cfo_hz``."""
        return Carrier(self.cfo_correction_hz - measured_cfo_hz)

    def clock_offset_ppm(self, carrier_hz: float) -> float:
        """Sample clock error: one crystal makes carrier and clock, so their relative errors are equal."""
        return -self.cfo_correction_hz / carrier_hz * 1e6


class ChannelMeasurement(Struct, frozen=True):
    """One round's measurement of one client."""

    gain_db: list[float]
    """Per RB of the band."""
    reference_sinr_db: list[float] = field(default_factory=list)
    """Per RB, at full band and full power."""
    fine_sinr_db: list[float] = field(default_factory=list)
    """The same at ``VALUES_PER_RB`` places in every RB."""
    residual_cfo_hz: float = 0.0
    clipped_samples: int = 0

    @property
    def reference_snr_db(self) -> float:
        """Mean over the band, as a power ratio, dB."""
        return float(10 * np.log10(np.mean(10 ** (np.asarray(self.reference_sinr_db) / 10))))

    @property
    def mean_gain_db(self) -> float:
        """Mean power gain over the band, dB."""
        return float(10 * np.log10(np.mean(10 ** (np.asarray(self.gain_db) / 10))))

    def sinr_db_within(self, rb_start: int, rb_count: int) -> list[float]:
        """``fine_sinr_db`` of some RBs."""
        return self.fine_sinr_db[VALUES_PER_RB * rb_start : VALUES_PER_RB * (rb_start + rb_count)]


def measurement_from_sounding(
    burst: SoundingBurst,
    report: BurstReport,
    clipped_samples: int,
    silent_noise_db: Sequence[float],
    numerology: Numerology,
) -> ChannelMeasurement:
    """Refer a full-band sounding to full power; ``silent_noise_db``: power of each RB while nobody sent."""
    sounded, power = _linear(report.noise_db), _linear(report.noise_db) * _linear(report.sinr_db)
    full_power = power / 10.0 ** (burst.tx_gain_db / 10.0)
    noise = rb_noise(_linear(silent_noise_db), sounded, power, full_power)
    sinr_db = 10 * np.log10(full_power / noise)
    fine_db = sinr_db[:, None] + _ripple_db(report.channel_db, numerology)
    return ChannelMeasurement(
        gain_db=list(report.gain_db),
        reference_sinr_db=sinr_db.tolist(),
        fine_sinr_db=fine_db.ravel().tolist(),
        residual_cfo_hz=report.cfo_hz,
        clipped_samples=clipped_samples,
    )


def rb_noise(silent: Powers, sounded: Powers, power: Powers, full_power: Powers) -> Powers:
    """Noise power of each RB under a client's signal of ``full_power``, (RBs,) each.

    From the silent window and a sounding burst that arrived with ``power`` and saw the noise ``sounded``.

    The silent window averages several times as many samples. The burst shows what the signal itself adds
    (converters, phase noise): the same share of its power in every RB. An RB in which the burst saw far more than
    that was disturbed meanwhile.
    """
    share = max(0.0, float(np.median((sounded - silent) / power)))
    expected: Powers = silent + share * power
    seen: Powers = np.where(sounded > DISTURBED * expected, sounded, expected)
    return seen + share * (full_power - power)


def _ripple_db(channel_db: Sequence[float], numerology: Numerology) -> Powers:
    """How the channel's power varies within each RB about its mean, dB, (RBs, ``VALUES_PER_RB``).

    ``channel_db``: per loaded subcarrier of the band; empty where the radio does not say (then 0).
    """
    shape = (numerology.rb_total, VALUES_PER_RB)
    if not channel_db:
        return np.zeros(shape)
    loaded = numerology.loaded_subcarriers(0, numerology.rb_total)
    width = numerology.rb_subcarriers / VALUES_PER_RB
    places = loaded[0] - 0.5 + width * (np.arange(shape[0] * shape[1]) + 0.5)
    power = np.interp(places, loaded, _linear(channel_db)).reshape(shape)
    ripple: Powers = 10 * np.log10(power / power.mean(axis=1, keepdims=True))
    return ripple


def _linear(level_db: Sequence[float]) -> Powers:
    return np.asarray(10.0 ** (np.asarray(level_db, float) / 10.0))


def barred_rbs(noise_db: Sequence[float], threshold_db: float) -> list[int]:
    """RBs whose silent-window power exceeds the band's median by more than ``threshold_db``.

    What lies ``LEAK_DB`` below the next RB's power is taken for its leak.
    """
    noise = np.pad(np.asarray(noise_db, float), 1, constant_values=-np.inf)
    next_ones = np.maximum(noise[:-2], noise[2:])
    strong = noise[1:-1] > np.median(noise[1:-1]) + threshold_db
    return [int(i) for i in np.flatnonzero(strong & (noise[1:-1] > next_ones - LEAK_DB))]


def received_cap_db(reference_snr_db: Iterable[float], max_spread_db: float) -> float:
    """SNR per RB that no client may exceed, dB: ``max_spread_db`` above the weakest one's reference SNR.

    ``reference_snr_db``: of the clients that can be heard at all.
    """
    return min(reference_snr_db, default=math.inf) + max_spread_db
