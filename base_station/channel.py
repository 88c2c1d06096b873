"""What the base station knows of each client's channel, from sounding bursts and the silent window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def usable_run(rb_total: int, barred: Sequence[int]) -> tuple[int, int]:
    """(start, count) of the longest run of RBs that are not barred; the first of equals. Ours."""
    best, start = (0, 0), 0
    for end in sorted({*barred, rb_total}):
        if end - start > best[1]:
            best = (start, end - start)
        start = end + 1
    return best


def psd_caps_db(reference_snr_db: Mapping[str, float], psd_cap_db: float, max_spread_db: float) -> dict[str, float]:
    """How far each client's power per RB may exceed its full-band level, dB (may be negative).

    No client's received power per RB may exceed the weakest one's by more than ``max_spread_db``
    (docs/design.md, section 3); ``reference_snr_db`` holds the clients that can be heard at all.
    """
    if not reference_snr_db:
        return {}
    ceiling = min(reference_snr_db.values()) + max_spread_db
    return {name: min(psd_cap_db, ceiling - snr) for name, snr in reference_snr_db.items()}


def tx_gain_db(rb_total: int, rb_count: int, cap_db: float) -> float:
    """Total power relative to full power with ``rb_count`` RBs, so that power per RB stays under its cap."""
    return min(0.0, cap_db - 10 * float(np.log10(rb_total / rb_count)))
