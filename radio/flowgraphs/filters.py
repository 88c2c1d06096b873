"""Filters of the transmit and receive branches, from the grant's resource blocks.

Linear-phase Kaiser designs at the full rate; a filter's delay is a whole number of branch samples.
Source: Kaiser's window method as in any textbook; the band edges are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, SoundingBurst
from radio.modem.layout import burst_decimation
from radio.numerology import Numerology

Taps = NDArray[np.float32]

STOPBAND_DB = 60.0
"""Attenuation from the nearest subcarrier of a neighbour on, three times the largest power spread, dB."""
PASSBAND_MARGIN_SUBCARRIERS = 2.0
"""The passband ends this many subcarriers beyond the grant's outermost one."""
SMALLEST_TRANSITION_SUBCARRIERS = 3.0
"""Width of the transition band where grants have no guard between them."""
ACQUISITION_OFFSET_HZ = 120e3
"""Carrier offset an acquisition burst may arrive with (50 ppm at 2.4 GHz); its receive filter is that much wider."""


def transmit_taps(numerology: Numerology, burst: Burst, guard_rb: int) -> Taps:
    """Interpolation filter around a grant, float32 (odd,); gain = interpolation factor."""
    decimation = burst_decimation(burst, numerology)
    return _branch_taps(numerology, burst.rb_count, guard_rb, decimation, 0.0) * np.float32(decimation)


def receive_taps(numerology: Numerology, burst: Burst, guard_rb: int) -> Taps:
    """Decimation filter around a grant, float32 (odd,); gain 1."""
    offset_hz = ACQUISITION_OFFSET_HZ if isinstance(burst, SoundingBurst) and burst.acquisition else 0.0
    return _branch_taps(numerology, burst.rb_count, guard_rb, burst_decimation(burst, numerology), offset_hz)


def _branch_taps(numerology: Numerology, rb_count: int, guard_rb: int, decimation: int, offset_hz: float) -> Taps:
    spacing_hz = numerology.subcarrier_spacing_hz
    half_hz = 0.5 * rb_count * numerology.rb_bandwidth_hz + offset_hz
    pass_hz = half_hz + PASSBAND_MARGIN_SUBCARRIERS * spacing_hz
    guard_hz = guard_rb * numerology.rb_bandwidth_hz
    width_hz = max(half_hz + guard_hz - pass_hz, SMALLEST_TRANSITION_SUBCARRIERS * spacing_hz)
    return low_pass(pass_hz / numerology.sample_rate_hz, width_hz / numerology.sample_rate_hz, decimation)


def low_pass(passband: float, transition: float, decimation: int) -> Taps:
    """Kaiser low-pass of unit gain, float32 (odd,), with a delay of a multiple of ``decimation`` samples.

    ``passband`` and ``transition`` in cycles per sample: flat to the first, ``STOPBAND_DB`` down their sum on.
    """
    half_length = 0.5 * (STOPBAND_DB - 7.95) / (2.285 * 2.0 * np.pi * transition)
    delay = decimation * int(np.ceil(half_length / decimation))
    n = np.arange(-delay, delay + 1)
    cutoff = min(2.0 * passband + transition, 1.0)
    taps = np.sinc(cutoff * n) * np.kaiser(len(n), 0.1102 * (STOPBAND_DB - 8.7))
    unit_gain: Taps = (taps / taps.sum()).astype(np.float32)
    return unit_gain
