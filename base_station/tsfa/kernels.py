"""The inner loops of placement, compiled: sums over clients in order along the band, and the relaxation's spans.

Arrays are those of ``spans``. Spans that are none (first RB behind the last) are never looked at. The tests hold the
plain formulas against each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.knapsack import OUT_OF_BAND
from radio.modem.compiled import compiled


@compiled
def extend_sums_before(
    units: NDArray[np.int64], order: NDArray[np.int64], guard_rb: int, done: int, sums: NDArray[np.int64]
) -> None:
    """Fill ``sums`` (N + 1, K + g + 1) behind row ``done``: at [i, p] the most of the first i clients in p RBs."""
    rb_total = units.shape[1]
    for i in range(done, len(order)):
        n = order[i]
        sums[i + 1, : 1 + guard_rb] = sums[i, : 1 + guard_rb]
        for last in range(rb_total):
            after = last + 1 + guard_rb
            most = max(sums[i, after], sums[i + 1, after - 1])
            for first in range(last + 1):
                most = max(most, sums[i, first] + units[n, last, first])
            sums[i + 1, after] = most


@compiled
def extend_sums_behind(
    units: NDArray[np.int64], order: NDArray[np.int64], guard_rb: int, left: int, sums: NDArray[np.int64]
) -> None:
    """Fill ``sums`` (N + 1, K + g + 1) before row ``left``: at [i, p] the most of clients i, ... from position p on."""
    rb_total = units.shape[1]
    for i in range(left - 1, -1, -1):
        n = order[i]
        row = sums[i]
        row[:] = sums[i + 1]
        for last in range(rb_total):
            for first in range(last + 1):
                row[first] = max(row[first], units[n, last, first] + sums[i + 1, last + 1 + guard_rb])
        for position in range(rb_total + guard_rb - 1, -1, -1):
            row[position] = max(row[position], row[position + 1])


@compiled
def best_slot(
    own: NDArray[np.int64], guard_rb: int, before: NDArray[np.int64], behind: NDArray[np.int64]
) -> tuple[int, int]:
    """The first slot among others where a client of ``own`` (K, K) gains most, and the sum of all then.

    ``before``, ``behind``: sums of the others in front of each slot and behind it.
    """
    slot, total = 0, OUT_OF_BAND
    for i in range(len(before)):
        most = OUT_OF_BAND
        for last in range(len(own)):
            reached = OUT_OF_BAND
            for first in range(last + 1):
                reached = max(reached, before[i, first] + own[last, first])
            most = max(most, reached + behind[i, last + 1 + guard_rb])
        if most > total:
            slot, total = i, most
    return slot, total


@compiled
def best_gains(units: NDArray[np.float64], prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of ``units[n] - prices[n]`` over all clients, (K, K)."""
    best: NDArray[np.float64] = units[0] - prices[0]
    for n in range(1, len(units)):
        for last in range(len(best)):
            for first in range(len(best)):
                best[last, first] = max(best[last, first], units[n, last, first] - prices[n])
    return best


@compiled
def span_sums_before(best: NDArray[np.float64], guard_rb: int) -> NDArray[np.float64]:
    """The most that spans of gain ``best`` (K, K) sum to in the first p RBs, (K + g + 1,)."""
    sums = np.zeros(len(best) + guard_rb + 1)
    for last in range(len(best)):
        after = last + 1 + guard_rb
        sums[after] = sums[after - 1]
        for first in range(last + 1):
            sums[after] = max(sums[after], sums[first] + best[last, first])
    return sums


@compiled
def span_sums_behind(best: NDArray[np.float64], guard_rb: int) -> NDArray[np.float64]:
    """The most that they sum to from position p on, (K + g + 1,)."""
    rb_total = len(best)
    sums = np.zeros(rb_total + guard_rb + 1)
    for first in range(rb_total - 1, -1, -1):
        sums[first] = sums[first + 1]
        for last in range(first, rb_total):
            sums[first] = max(sums[first], best[last, first] + sums[last + 1 + guard_rb])
    return sums


@compiled
def span_uses(
    units: NDArray[np.float64], prices: NDArray[np.float64], best: NDArray[np.float64], before: NDArray[np.float64],
    guard_rb: int,
) -> NDArray[np.int64]:  # fmt: skip
    """How often each client has a span of those that reach ``before``'s last sum, (N,)."""
    uses = np.zeros(len(prices), np.int64)
    position = len(before) - 1
    while before[position] > 0.0:
        if before[position] == before[position - 1]:
            position -= 1
            continue
        last = position - guard_rb - 1
        first = 0
        for s in range(1, last + 1):
            if before[s] + best[last, s] > before[first] + best[last, first]:
                first = s
        user = 0
        for n in range(1, len(prices)):
            if units[n, last, first] - prices[n] > units[user, last, first] - prices[user]:
                user = n
        uses[user] += 1
        position = first
    return uses


@compiled
def fill_subset_sums(units: NDArray[np.int64], guard_rb: int, best: NDArray[np.int64]) -> None:
    """Fill ``best`` (K + g + 1, 2^N), given as zeros: at [p, set] the most of a set of clients in p RBs."""
    clients, rb_total, _ = units.shape
    for last in range(rb_total):
        after = best[last + 1 + guard_rb]
        after[:] = best[last + guard_rb]
        for n in range(clients):
            member = 1 << n
            for first in range(last + 1):
                gain, without = units[n, last, first], best[first]
                if gain > 0:
                    for others in range(0, len(after), 2 * member):
                        for k in range(others, others + member):
                            after[k + member] = max(after[k + member], without[k] + gain)
