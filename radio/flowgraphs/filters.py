"""Filters of the transmit and receive branches, from the grant's resource blocks (``radio.modem.shaping``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst
from radio.modem.layout import burst_decimation, half_band, is_acquisition
from radio.modem.shaping import shaping_taps
from radio.numerology import Numerology

Taps = NDArray[np.float32]


def transmit_taps(numerology: Numerology, burst: Burst) -> Taps:
    """Interpolation filter around a grant, float32 (odd,); gain = interpolation factor."""
    return _grant_taps(numerology, burst) * np.float32(burst_decimation(burst, numerology))


def receive_taps(numerology: Numerology, burst: Burst) -> Taps:
    """Decimation filter around a grant, float32 (odd,); gain 1. None, one tap, where the carrier may be far off."""
    return np.ones(1, np.float32) if is_acquisition(burst) else _grant_taps(numerology, burst)


def _grant_taps(numerology: Numerology, burst: Burst) -> Taps:
    taps = shaping_taps(half_band(burst, numerology), numerology.fft_size, numerology.cp)
    return taps.astype(np.float32)
