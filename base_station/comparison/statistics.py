"""Means and paired differences over seeds with 95 % intervals by Student's t (textbook)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from scipy import stats

CONFIDENCE = 0.95
EQUAL_POINTS = 0.01
"""Shares are called equal only if the whole interval of their difference lies within this (one point)."""

Verdict = Literal["higher", "lower", "equal", "open", ""]


class Interval(NamedTuple):
    """A mean and its 95 % interval; one value alone has none (NaN)."""

    mean: float
    low: float
    high: float
    values: int

    @property
    def half_width(self) -> float:
        """Mean to either end (of intervals that are symmetric)."""
        return (self.high - self.low) / 2.0


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of at least one value with its t-interval; normal errors are assumed."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    variance = math.fsum((v - mean) ** 2 for v in values) / (count - 1)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, count - 1)) * math.sqrt(variance / count)
    return Interval(mean, mean - half, mean + half, count)


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Interval | None:
    """Interval of value - reference over the seeds both have; None if there is none."""
    common = sorted(values.keys() & reference.keys())
    return mean_interval([values[seed] - reference[seed] for seed in common]) if common else None


def paired_ratio(values: Mapping[int, float], reference: Mapping[int, float]) -> Interval | None:
    """Geometric mean of value / reference over common seeds, interval of the logarithms; None if any is 0 or less."""
    common = sorted(values.keys() & reference.keys())
    if not common or any(min(values[s], reference[s]) <= 0.0 for s in common):
        return None
    logs = mean_interval([math.log(values[s] / reference[s]) for s in common])
    return Interval(math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high), logs.values)


def verdict(interval: Interval | None, neutral: float, equal_within: float | None) -> Verdict:
    """What an interval of differences (``neutral`` 0) or ratios (1) shows; ``open``: nothing yet."""
    if interval is None or math.isnan(interval.low):
        return ""
    if interval.low == neutral == interval.high:
        return "equal"
    if equal_within is not None and -equal_within <= interval.low and interval.high <= equal_within:
        return "equal"
    if interval.low > neutral:
        return "higher"
    return "lower" if interval.high < neutral else "open"
