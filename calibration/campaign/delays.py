"""How a link spreads in delay: its mean power delay profile, and its delay spread from fading over frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.campaign.estimates import LONGEST_LAG, SPREADS_S, SoundingGrid, exponential_correlation
from calibration.campaign.series import LinkSeries, with_uncertainty
from radio.quantity import Quantity

Array = NDArray[np.float64]
FITTED = 0.85
"""Lags are fitted as long as powers are correlated by this share of what they are at the shortest lag."""
LEAST_LAGS = 6
LEAST_FADING = 0.02
"""Relative variance of power below which nothing fades, and no delay can be told from it."""
OVERSAMPLING = 4
EARLIEST_S, LATEST_S = -2e-6, 8e-6
"""Of a profile, around its mean delay."""


def fading_delay_spread(series: LinkSeries, grid: SoundingGrid) -> Quantity | None:
    """RMS delay spread of a link over all its soundings, s: from how powers a frequency apart fade together.

    Powers need no common timing, which no radio here has. The correlation's curvature at 0 is the spread whatever the
    profile, if no path is constant; long weak tails are underestimated. None if the link does not fade.
    """
    power = np.abs(series.response) ** 2 - series.noise[:, None]
    lagged, pairs = _lag_products(power, grid)

    def spread_of(index: NDArray[np.int64]) -> float:
        return _spread(lagged[index].mean(axis=0) / float(power[index].mean()) ** 2 - 1.0, pairs, grid)

    found = with_uncertainty(series, spread_of)
    return Quantity(found.value, max(found.uncertainty, float(SPREADS_S[1]))) if found is not None else None


def _lag_products(power: Array, grid: SoundingGrid) -> tuple[Array, Array]:
    """Mean product of powers 1, 2, ... subcarriers apart, (soundings, lags), and pairs behind each lag."""
    subcarriers = grid.subcarriers - grid.subcarriers[0]
    size = 2 * (int(subcarriers[-1]) + 1)
    placed, present = np.zeros((len(power), size)), np.zeros(size)
    placed[:, subcarriers], present[subcarriers] = power, 1.0
    pairs = np.fft.irfft(np.abs(np.fft.rfft(present)) ** 2, size)[1 : LONGEST_LAG + 1]
    products = np.fft.irfft(np.abs(np.fft.rfft(placed, axis=1)) ** 2, size, axis=1)[:, 1 : LONGEST_LAG + 1]
    return products / pairs, pairs


def _spread(correlation: Array, pairs: Array, grid: SoundingGrid) -> float:
    if correlation[0] < LEAST_FADING:
        return float("nan")
    low = np.flatnonzero(correlation < FITTED * correlation[0])
    count = max(LEAST_LAGS, int(low[0]) if len(low) else len(correlation))
    lag_hz = grid.numerology.subcarrier_spacing_hz * np.arange(1, count + 1)
    shape, weight, seen = exponential_correlation(lag_hz, SPREADS_S), pairs[:count], correlation[:count]
    level = (shape * weight) @ seen / ((shape**2) @ weight)
    misfit = ((seen - level[:, None] * shape) ** 2) @ weight
    return float(SPREADS_S[np.argmin(misfit)])


def delay_profile(series: LinkSeries, grid: SoundingGrid) -> tuple[Array, Array]:
    """Mean power delay profile: delays around each sounding's mean delay, s, and power relative to its largest.

    Hann window over the band (resolution about a microsecond at 2 Msps); noise is taken off, what is left below 0 is 0.
    """
    subcarriers = grid.subcarriers
    size = OVERSAMPLING * grid.numerology.fft_size
    adjacent = np.diff(subcarriers) == 1
    turn = np.angle(np.sum((series.response[:, 1:] * series.response[:, :-1].conj())[:, adjacent], axis=1))
    aligned = series.response * np.exp(-1j * np.multiply.outer(turn, subcarriers))
    every = np.arange(subcarriers[0], subcarriers[-1] + 1)
    # The carrier's own subcarriers are not loaded: left at 0 they would look like echoes everywhere.
    filled = np.array([np.interp(every, subcarriers, row) for row in aligned])
    window = np.hanning(len(every) + 2)[1:-1]
    spectrum = np.zeros((len(aligned), size), np.complex128)
    spectrum[:, every] = filled * window
    power = np.mean(np.abs(np.fft.ifft(spectrum, axis=1)) ** 2, axis=0)
    power -= float(np.mean(series.noise)) * float(np.sum(window**2)) / size**2
    delay_s = np.fft.fftfreq(size) * size / (OVERSAMPLING * grid.numerology.sample_rate_hz)
    order = np.argsort(delay_s)
    kept = order[(delay_s[order] >= EARLIEST_S) & (delay_s[order] <= LATEST_S)]
    return delay_s[kept], np.maximum(power[kept], 0.0) / float(power.max())
