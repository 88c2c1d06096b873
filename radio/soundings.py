"""Sounding bursts: what first contact, a full-band sounding and the silent window look like, whoever asks for them."""

from __future__ import annotations

import math

from protocol.bursts import SoundingBurst
from radio.numerology import Numerology

SILENT_WINDOW_SAMPLES = 16_384
"""64 FFT lengths, for a noise estimate within 0.2 dB per RB."""
ACQUISITION_RBS = 16
"""A first-contact burst may be at most 1 MHz wide (docs/design.md, section 3)."""
MAX_SOUNDING_TRIES = 3
CLIPPED_STEP_DB = 10.0
"""A clipped sounding is repeated this much lower."""


def acquisition_burst(client: str, burst_id: int, numerology: Numerology, psd_cap_db: float) -> SoundingBurst:
    """First contact: found with the client's carrier anywhere within the crystals' tolerance."""
    total = numerology.rb_total
    return SoundingBurst(
        client, burst_id, (total - ACQUISITION_RBS) // 2, ACQUISITION_RBS, acquisition=True,
        tx_gain_db=tx_gain_db(total, ACQUISITION_RBS, psd_cap_db),
    )  # fmt: skip


def sounding_burst(
    client: str, burst_id: int, numerology: Numerology, gain_db: float, cfo_correction_hz: float
) -> SoundingBurst:
    """A sounding over the whole band, ``gain_db`` relative to full power."""
    return SoundingBurst(
        client, burst_id, 0, numerology.rb_total, tx_gain_db=gain_db, cfo_correction_hz=cfo_correction_hz
    )


def tx_gain_db(rb_total: int, rb_count: int, cap_db: float) -> float:
    """Total power relative to full power with ``rb_count`` RBs, so that power per RB stays under its cap."""
    return min(0.0, cap_db - 10.0 * math.log10(rb_total / rb_count))
