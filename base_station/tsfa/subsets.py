"""Placement of grants, exact by dynamic programming over position and set of clients (textbook)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa import kernels
from base_station.tsfa.spans import Span


def place_exactly(units: NDArray[np.int64], guard_rb: int) -> list[Span]:
    """The spans of largest sum, at most one for each client, a guard between any two.

    ``best[p, set]``: the largest sum in the first p RBs for a set of clients (bit n: client n); it takes
    N K^2 2^N / 4 steps where all entries are useful.
    """
    clients, rb_total, _ = units.shape
    best = np.zeros((rb_total + guard_rb + 1, 1 << clients), np.int64)
    kernels.fill_subset_sums(units, guard_rb, best)
    return _trace_back(best, units, guard_rb)


def subset_steps(units: NDArray[np.int64]) -> int:
    """Additions that ``place_exactly`` does."""
    return int((units > 0).sum()) << max(len(units) - 1, 0)


def subset_table(units: NDArray[np.int64], guard_rb: int) -> int:
    """Entries of its table."""
    return (units.shape[1] + guard_rb + 1) << len(units)


def _trace_back(best: NDArray[np.int64], units: NDArray[np.int64], guard_rb: int) -> list[Span]:
    spans: list[Span] = []
    position, members = best.shape[0] - 1, best.shape[1] - 1
    while best[position, members] > 0:
        if best[position, members] == best[position - 1, members]:
            position -= 1
            continue
        span = _last_span(best, units, position, members, position - guard_rb - 1)
        spans.append(span)
        position, members = span.first, members & ~(1 << span.client)
    return spans


def _last_span(best: NDArray[np.int64], units: NDArray[np.int64], position: int, members: int, last: int) -> Span:
    for n in range(len(units)):
        if members >> n & 1:
            sums = best[: last + 1, members & ~(1 << n)] + units[n, last, : last + 1]
            found = np.flatnonzero((sums == best[position, members]) & (units[n, last, : last + 1] > 0))
            if found.size:
                return Span(n, int(found[0]), last)
    raise AssertionError("the table of sums holds a sum of no spans")
