"""What the base station knows of each client's channel, from sounding bursts and the silent window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct, field

from protocol.bursts import BurstReport, SoundingBurst


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
    """One round's measurement of one client. Lists are per RB of the band."""

    gain_db: list[float]
    reference_sinr_db: list[float] = field(default_factory=list)
    """At full band and full power."""
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


def measurement_from_sounding(burst: SoundingBurst, report: BurstReport, clipped_samples: int) -> ChannelMeasurement:
    """Refer a full-band sounding to full power."""
    return ChannelMeasurement(
        gain_db=list(report.gain_db),
        reference_sinr_db=[s - burst.tx_gain_db for s in report.sinr_db],
        residual_cfo_hz=report.cfo_hz,
        clipped_samples=clipped_samples,
    )


def barred_rbs(noise_db: Sequence[float], threshold_db: float) -> list[int]:
    """RBs whose silent-window power exceeds the band's median by more than ``threshold_db``."""
    noise = np.asarray(noise_db)
    return [int(i) for i in np.flatnonzero(noise > np.median(noise) + threshold_db)]


def received_cap_db(reference_snr_db: Iterable[float], max_spread_db: float) -> float:
    """SNR per RB that no client may exceed, dB: ``max_spread_db`` above the weakest one's reference SNR.

    ``reference_snr_db``: of the clients that can be heard at all.
    """
    return min(reference_snr_db, default=math.inf) + max_spread_db


def tx_gain_db(rb_total: int, rb_count: int, cap_db: float) -> float:
    """Total power relative to full power with ``rb_count`` RBs, so that power per RB stays under its cap."""
    return min(0.0, cap_db - 10 * float(np.log10(rb_total / rb_count)))
