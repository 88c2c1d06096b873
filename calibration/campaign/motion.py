"""How fast a link changes: Doppler frequency and spectrum, from how its fading power is correlated over time.

Phases of successive soundings are not comparable (two crystals), so only powers are used: with scattered waves from all
around (Clarke) the correlation of powers is J0 squared, and its spectrum reaches to twice the Doppler frequency.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import signal, special

from calibration.campaign.series import LinkSeries
from radio.quantity import Quantity

Array = NDArray[np.float64]
LEAST_SOUNDINGS = 24
SEGMENTS = 8
"""Stretches of a series left out in turn (jackknife)."""
FREQUENCIES = 600
"""Tried up to half a turn per interval."""
FALLEN = 0.3
"""Correlation, relative to the variance, that ends the first lobe; lags up to twice as long are fitted."""
MOST_K = 1.0
"""A constant path stronger than this beats with the scattered waves at frequencies that its direction decides."""
LEAST_LEVEL = 0.7
"""Of the variance that is fading: the rest is noise. Left free, a high frequency would pass for a low one."""
FADES_ERROR = 0.4
"""Relative error of a series one cycle long at least; it falls with the root of the cycles (simulated; ours)."""
EVEN = 0.1
"""Intervals may differ by this share of the usual one."""


class Motion(Struct, frozen=True):
    """What a series says of movement."""

    doppler_hz: Quantity | None
    """Maximum Doppler frequency; None if successive soundings are independent, or nothing moved."""
    remark: str
    """Why there is none, or what holds of it."""


class TimeCorrelation(NamedTuple):
    """Correlation of fading powers over time."""

    lag_s: Array
    values: Array
    """Relative to the variance at lag 0, which contains noise."""


def even_stretch(series: LinkSeries) -> tuple[Array, float]:
    """The longest stretch of evenly spaced soundings: powers (soundings, RBs) and their interval, s."""
    if len(series.time_s) < 2:
        return series.rb_power, 0.0
    steps = np.diff(series.time_s)
    interval_s = float(np.median(steps))
    breaks = np.flatnonzero(np.abs(steps - interval_s) > EVEN * interval_s) + 1
    stretches = np.split(np.arange(len(series.time_s)), breaks)
    return series.rb_power[max(stretches, key=len)], interval_s


def time_correlation(series: LinkSeries) -> TimeCorrelation:
    """Of the longest even stretch, at lags up to a third of it."""
    power, interval_s = even_stretch(series)
    sums, pairs = _lagged(_deviation(power))
    total = max(float(np.mean(_deviation(power) ** 2)), 1e-12)
    return TimeCorrelation(interval_s * np.arange(1, len(pairs) + 1), sums.sum(axis=0) / pairs / total)


def doppler(series: LinkSeries, k: Quantity | None) -> Motion:
    """Doppler frequency by fitting J0 squared to the correlation of powers; its uncertainty is a jackknife's.

    ``k``: power of the constant path over that of the scattered waves, as far as it is known.
    """
    power, interval_s = even_stretch(series)
    if len(power) < LEAST_SOUNDINGS or interval_s <= 0.0:
        return Motion(None, f"fewer than {LEAST_SOUNDINGS} evenly spaced soundings")
    deviation = _deviation(power)
    sums, pairs = _lagged(deviation)
    correlation = sums.sum(axis=0) / pairs
    variance = float(np.mean(deviation**2))
    fallen = np.flatnonzero(correlation < FALLEN * variance)
    first = int(fallen[0]) + 1 if len(fallen) else len(pairs)
    if first == 1:
        return Motion(None, f"successive soundings fade independently: above {0.2 / interval_s:.3g} Hz, or redrawn")
    # Later lags are mostly chance.
    sums, pairs = sums[:, : 2 * first], pairs[: 2 * first]
    correlation = correlation[: 2 * first]
    if k is not None and k.value - 2.0 * k.uncertainty > MOST_K:
        return Motion(None, "it moves, but a constant path stronger than the rest hides how fast")
    found = _fitted_hz(correlation, pairs, variance, interval_s)
    cycles = found * interval_s * len(power)
    if cycles < 1.0:
        return Motion(None, f"nothing moved by a wave: below {1.0 / (interval_s * len(power)):.2g} Hz")
    left_out = [
        _fitted_hz((sums.sum(axis=0) - part) / pairs, pairs, variance, interval_s, found) for part in _segments(sums)
    ]
    spread = float(np.sqrt((SEGMENTS - 1) * np.mean((np.array(left_out) - np.mean(left_out)) ** 2)))
    least = found * FADES_ERROR / math.sqrt(cycles)
    return Motion(Quantity(found, max(spread, least)), "of waves from all around")


def fading_spectrum(series: LinkSeries) -> tuple[Array, Array]:
    """Frequencies, Hz, and power spectral density of the fading power over its mean, 1/Hz; empty of short series."""
    power, interval_s = even_stretch(series)
    if len(power) < LEAST_SOUNDINGS or interval_s <= 0.0:
        return np.zeros(0), np.zeros(0)
    length = min(len(power), max(16, len(power) // 3))
    frequency_hz, density = signal.welch(_deviation(power), 1.0 / interval_s, nperseg=length, axis=0)
    return frequency_hz, density.mean(axis=1)


def model_spectrum(frequency_hz: Array, doppler_hz: float, variance: float) -> Array:
    """What ``fading_spectrum`` is for waves from all around: the transform of J0 squared, of ``variance`` in all."""
    lag_s = np.arange(4096) / (16.0 * doppler_hz)
    taper = 0.5 + 0.5 * np.cos(np.pi * np.arange(4096) / 4096)
    correlation = special.j0(2.0 * np.pi * doppler_hz * lag_s) ** 2 * taper
    turns = np.cos(2.0 * np.pi * np.multiply.outer(frequency_hz, lag_s))
    density = 4.0 * variance * (turns @ correlation - 0.5) * lag_s[1]
    return np.asarray(np.maximum(density, 0.0))


def _deviation(power: Array) -> Array:
    return np.asarray(power / power.mean(axis=0) - 1.0)


def _lagged(deviation: Array) -> tuple[Array, Array]:
    """Products of deviations a lag apart, mean over RBs, (first soundings, lags), and pairs behind each lag."""
    count = len(deviation)
    lags = max(1, count // 3)
    sums = np.zeros((count, lags))
    for lag in range(1, lags + 1):
        sums[: count - lag, lag - 1] = np.mean(deviation[:-lag] * deviation[lag:], axis=1)
    return sums, count - np.arange(1.0, lags + 1)


def _segments(sums: Array) -> list[Array]:
    """What each stretch adds over its share: sums without it stay comparable."""
    total = sums.sum(axis=0)
    parts = [part.sum(axis=0) for part in np.array_split(sums, SEGMENTS)]
    return [(part - total / SEGMENTS) * SEGMENTS / (SEGMENTS - 1) for part in parts]


def _fitted_hz(
    correlation: Array, pairs: Array, variance: float, interval_s: float, near_hz: float | None = None
) -> float:
    """Frequency, within an octave of ``near_hz``, whose J0 squared, times most of ``variance``, is nearest.

    Lags count by their pairs.
    """
    tried = np.arange(1, FREQUENCIES + 1) * 0.5 / interval_s / FREQUENCIES
    if near_hz is not None:
        tried = tried[(tried >= 0.5 * near_hz) & (tried <= 2.0 * near_hz)]
    lag_s = interval_s * np.arange(1, len(correlation) + 1)
    shape = special.j0(2.0 * np.pi * np.multiply.outer(tried, lag_s)) ** 2
    level = np.clip((shape * pairs) @ correlation / ((shape**2) @ pairs), LEAST_LEVEL * variance, variance)
    misfit = ((correlation - level[:, None] * shape) ** 2) @ pairs
    return float(tried[np.argmin(misfit)])
