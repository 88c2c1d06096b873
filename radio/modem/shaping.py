"""The filter around a grant, at both ends: its taps, and its gain on the grant's subcarriers.

A sharp filter smears an OFDM symbol over its neighbours, most at the grant's edges. Here the taps are the least
squares solution of what matters: of the taps further than ``CORE_SHARE`` of a prefix from the centre, the energy
they let through within the grant (elsewhere they may do as they like); all energy from the neighbours' nearest
subcarrier on, one guard RB away; and, least, the deviation of the grant's gain from 1. The gain so falls by some
dB towards the edges: transmitter and receiver divide it out. Source: ours; least squares design is textbook.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radio.modem.layout import BurstLayout

LENGTH_SHARE = 0.25
"""Taps on either side of the centre, FFT lengths."""
CORE_SHARE = 1 / 6
"""Reach of the taps that may smear, prefixes: two filters take a third of it, the rest is left for echoes."""
STOPBAND_WEIGHT = 1e4
RIDGE = 1e-6
GUARD_SUBCARRIERS = 8
"""From the grant's outermost subcarrier to the stopband: one guard RB."""


@lru_cache(maxsize=64)
def shaping_taps(half_band: int, fft_size: int, cp: int) -> NDArray[np.float64]:
    """Symmetric low-pass around subcarriers ``-half_band .. half_band``, float64 (odd,), all numbers at the full rate.

    Its length is a multiple of 2 x 8 plus 1, so that its delay is whole at every branch rate. Mean power of the
    inverse gain over the grant: 1, so that a burst divided by it before the filter keeps its power.
    """
    reach = int(LENGTH_SHARE * fft_size)
    n = np.arange(-reach, reach + 1)
    apart, total = np.abs(n[:, None] - n), np.abs(n[:, None] + n)
    lag = np.arange(2 * reach + 1)
    band = np.cos(2.0 * np.pi / fft_size * lag[:, None] * np.arange(-half_band, half_band + 1)).mean(axis=1)
    # A tap at distance d smears d - core samples of the neighbouring symbol into the FFT window; only tails of
    # the same side add up.
    smeared = np.minimum(np.abs(n)[:, None], np.abs(n)) - CORE_SHARE * cp
    tails = band[apart] * np.where(np.multiply.outer(n, n) > 0, np.maximum(smeared, 0.0), 0.0)
    edge = (half_band + GUARD_SUBCARRIERS) / fft_size
    stopband = fft_size * (0.5 * (lag == 0) - edge * np.sinc(2.0 * edge * lag))
    passband = 0.5 * (band[apart] + band[total])
    # Between band and stopband nothing is asked of the taps; the ridge keeps them small there.
    cost = tails + STOPBAND_WEIGHT * stopband[apart] + passband + RIDGE * np.eye(len(n))
    taps: NDArray[np.float64] = np.linalg.solve(cost, band[np.abs(n)])
    taps *= np.sqrt(np.mean(gain_at(taps, np.arange(-half_band, half_band, dtype=np.float64), fft_size) ** -2.0))
    taps.flags.writeable = False  # shared by every caller
    return taps


def transmit_gain(layout: BurstLayout) -> NDArray[np.float32]:
    """Gain of the transmit filter on the loaded subcarriers, by which the transmitter divides."""
    return _gain(layout, layout.subcarriers)


def receive_gain(
    layout: BurstLayout, cfo_hz: float, subcarriers: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Gain of the receive filter on ``subcarriers`` (the loaded ones) of a burst that arrived ``cfo_hz`` off."""
    seen = layout.subcarriers if subcarriers is None else subcarriers
    if layout.wideband:
        return np.ones(len(seen), np.float32)
    return _gain(layout, seen + cfo_hz * layout.fft_size / layout.sample_rate_hz)


def _gain(layout: BurstLayout, subcarriers: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float32]:
    fft_size = layout.fft_size * layout.decimation
    taps = shaping_taps(layout.half_band, fft_size, layout.cp * layout.decimation)
    return gain_at(taps, subcarriers, fft_size).astype(np.float32)


def gain_at(
    taps: NDArray[np.float64], subcarriers: NDArray[np.float64] | NDArray[np.int64], fft_size: int
) -> NDArray[np.float64]:
    """Gain of symmetric ``taps`` at ``subcarriers`` (fractions allowed) of an FFT of ``fft_size``."""
    reach = len(taps) // 2
    angle = 2.0 * np.pi / fft_size * np.multiply.outer(subcarriers, np.arange(1, reach + 1))
    gain: NDArray[np.float64] = taps[reach] + 2.0 * np.cos(angle) @ taps[reach + 1 :]
    return gain
