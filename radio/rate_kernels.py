"""The inner loops of rates, compiled: effective SNR of many grants, and the best scheme of each.

``radio.rates`` says what they compute, and loads them with the first rate: numba costs a quarter of a second. Of a
constellation's mutual information (``Curves``) and of the link tables' logarithms of block error rates (``Knots``) they
get the points; between them both are straight. The tests hold the plain formulas against each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radio.link_tables import Knots
from radio.modem.compiled import compiled

ROUNDING_DB, ROUNDING = 1e-6, 1e-9
"""Wider than any rounding error of a comparison."""


class Curves(NamedTuple):
    """Mutual information of C constellations at S evenly spaced SNRs, (C, S)."""

    snr_db: NDArray[np.float64]
    information: NDArray[np.float64]
    slope: NDArray[np.float64]
    """From each point to the next, (C, S - 1)."""
    saturated: NDArray[np.float64]
    """Mean information from which on the SNR cannot be told from it: there the weakest value is a safe answer, (C,)."""


class Schemes(NamedTuple):
    """The M schemes of a link rule."""

    lossless_bps: NDArray[np.float64]
    """Goodput if nothing were lost, by RBs - 1, first RB and scheme, (K, K, M)."""
    usable_db: NDArray[np.float64]
    """SNR below which a scheme certainly misses the target, (M,)."""
    constellation: NDArray[np.int64]
    """Its place among the curves, (M,)."""
    target: float
    """Block error rate."""
    smallest_rate: float
    """Block error rate at which extrapolation stops."""


@compiled
def effective_snr_db(sinr_db: NDArray[np.float64], c: int, curves: Curves) -> float:
    """SNR at which constellation ``c`` carries the mean of what it carries at each of ``sinr_db``, (n,)."""
    points, information, slope = curves.snr_db[c], curves.information[c], curves.slope[c]
    last = len(points) - 1
    per_db = last / (points[last] - points[0])
    total = 0.0
    for value in sinr_db:
        if value >= points[last]:
            total += information[last]
        elif not value > points[0]:
            total += information[0]
        else:
            i = min(int((value - points[0]) * per_db), last - 1)
            # Rounding may lead to a neighbour.
            if points[i] > value:
                i -= 1
            elif points[i + 1] <= value:
                i += 1
            total += slope[i] * (value - points[i]) + information[i]
    mean = total / len(sinr_db)
    if mean >= curves.saturated[c]:
        return float(sinr_db.min())
    below = np.searchsorted(information, mean, side="right") - 1
    if below < 0:
        return float(points[0])
    return float((mean - information[below]) / slope[below] + points[below])


@compiled
def effective_snrs_db(
    sinr_db: NDArray[np.float64], ends: NDArray[np.int64], c: int, curves: Curves
) -> NDArray[np.float64]:
    """That of each grant, (P,); ``ends`` (P,): where its values end among all."""
    effective_db = np.empty(len(ends))
    begin = 0
    for p in range(len(ends)):
        effective_db[p] = effective_snr_db(sinr_db[begin : ends[p]], c, curves)
        begin = ends[p]
    return effective_db


@compiled
def block_error_rate(snr_db: float, m: int, knots: Knots, smallest_rate: float) -> float:
    """Share of the blocks of scheme ``m`` that are lost; between the points linear in its logarithm."""
    points = knots.snr_db[m]
    if snr_db < points[0] - 0.5:
        return 1.0
    log_rate = knots.log_rate[m, 0]
    if snr_db >= points[0]:
        i = min(np.searchsorted(points, snr_db, side="right"), knots.points[m]) - 1
        log_rate = knots.slope[m, i] * (snr_db - points[i]) + knots.log_rate[m, i]
    log_rate += knots.last_slope[m] * max(snr_db - knots.last_snr_db[m], 0.0)
    return float(max(np.exp(log_rate), smallest_rate))


@compiled
def best_schemes(
    sinr_db: NDArray[np.float64], ends: NDArray[np.int64], rb_start: NDArray[np.int64], rb_count: NDArray[np.int64],
    offset_db: float, schemes: Schemes, curves: Curves, knots: Knots,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:  # fmt: skip
    """Goodput of each grant with the scheme that has most of those that meet the target, bit/s, and that scheme."""
    rate_bps, chosen = np.zeros(len(ends)), np.zeros(len(ends), np.int64)
    snr_db = np.empty(len(curves.saturated))
    begin = 0
    for p in range(len(ends)):
        values = sinr_db[begin : ends[p]]
        begin = ends[p]
        lossless_bps = schemes.lossless_bps[rb_count[p] - 1, rb_start[p]]
        # An effective SNR lies between the least and the greatest value: most need not be known any better.
        least_db, greatest_db = values.min() - offset_db, values.max() - offset_db
        # What is sure to meet the target loses at most that; what is slower even if it lost nothing is not the best.
        floor_bps = 0.0
        for m in range(len(lossless_bps)):
            if least_db - schemes.usable_db[m] > ROUNDING_DB:
                floor_bps = max(floor_bps, lossless_bps[m] * (1.0 - schemes.target - ROUNDING))
        snr_db[:] = np.nan
        # The ladder ascends: most of what comes after the best is slower even without losses.
        for m in range(len(lossless_bps) - 1, -1, -1):
            unusable = greatest_db - schemes.usable_db[m] < -ROUNDING_DB
            if unusable or lossless_bps[m] < max(floor_bps, rate_bps[p]):
                continue
            c = schemes.constellation[m]
            if np.isnan(snr_db[c]):
                snr_db[c] = effective_snr_db(values, c, curves) - offset_db
            lost = block_error_rate(snr_db[c], m, knots, schemes.smallest_rate)
            goodput_bps = lossless_bps[m] * (1.0 - lost)
            if lost <= schemes.target and goodput_bps > 0.0 and goodput_bps >= rate_bps[p]:
                rate_bps[p], chosen[p] = goodput_bps, m
    return rate_bps, chosen
