"""A receiver's noise: density at the converter, and the noise figure that follows from a known full scale.

Median over a spectrum of independent segments, so that a carrier or a neighbour in part of the band does not count.
Source: textbook (gain method); the code is ours.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import get_window

from radio.channel.levels import THERMAL_NOISE_DBM_HZ
from radio.quantity import Quantity, root_sum_square

SEGMENT = 1024
"""Samples of one segment; the stream must hold at least four."""
_BESIDE_CARRIER_BINS = 4
"""Around the carrier, where the receiver's DC offset lies."""
_WINDOW_BINS = 2.0
"""Noise bandwidth of the window."""
_EDGE = 0.4
"""Used part of the band, either side of the carrier: filters fall beyond."""


def noise_density(samples: NDArray[np.complex64], rate_hz: float) -> Quantity:
    """Power density of the noise in dB over full scale and Hz; ``samples`` complex64 (n,) of silence."""
    count = len(samples) // SEGMENT
    window = get_window("blackmanharris", SEGMENT)
    segments = samples[: count * SEGMENT].reshape(count, SEGMENT) * window
    power = np.mean(np.abs(np.fft.fft(segments, axis=1)) ** 2, axis=0) / (rate_hz * np.sum(window**2))
    frequency = np.abs(np.fft.fftfreq(SEGMENT))
    used = power[(frequency > (_BESIDE_CARRIER_BINS - 0.5) / SEGMENT) & (frequency <= _EDGE)]
    # The mean of ``count`` exponential powers is chi-squared with twice as many degrees of freedom.
    middle = float(stats.chi2.ppf(0.5, 2 * count)) / (2 * count)
    density = float(np.median(used)) / middle
    # A median of m values is known to sqrt(pi / 2 m) of their spread, here 1 / sqrt(count); the window ties
    # neighbours together, as many as its noise bandwidth.
    relative = math.sqrt(0.5 * math.pi * _WINDOW_BINS / (len(used) * count))
    return Quantity(10.0 * math.log10(max(density, 1e-30)), 10.0 / math.log(10.0) * relative)


def noise_figure_db(
    density_dbfs_hz: Quantity, converter_dbfs_hz: Quantity, gain_db: Quantity, full_scale_dbm: Quantity
) -> Quantity | None:
    """Noise figure (290 K) of a receiver; None if the converter's own noise hides that of the receiver.

    ``density_dbfs_hz``: at the gain ``gain_db``; ``converter_dbfs_hz``: at the least gain, where the converter's own
    noise is all there is to see; ``full_scale_dbm``: power at the antenna that is full scale at gain 0 dB.
    """
    total, own = (10.0 ** (q.value / 10.0) for q in (density_dbfs_hz, converter_dbfs_hz))
    if total < 2.0 * own:
        return None
    share = total / (total - own)
    received_db = 10.0 * math.log10(total - own)
    uncertainty_db = root_sum_square(
        (share * density_dbfs_hz.uncertainty, (share - 1.0) * converter_dbfs_hz.uncertainty)
    )
    at_antenna = Quantity(received_db, uncertainty_db).minus(gain_db).plus(full_scale_dbm)
    return Quantity(at_antenna.value - THERMAL_NOISE_DBM_HZ, at_antenna.uncertainty)
