"""Placement of grants, exact by dynamic programming over position and set of clients (textbook)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.spans import Span


def place_exactly(units: NDArray[np.int64], guard_rb: int) -> list[Span]:
    """The spans of largest sum, at most one for each client, a guard between any two.

    ``best[p, set]``: the largest sum in the first p RBs for a set of clients (bit n: client n); it takes
    N K^2 2^N / 4 steps where all entries are useful.
    """
    clients, rb_total, _ = units.shape
    best = np.zeros((rb_total + guard_rb + 1, 1 << clients), np.int64)
    for last in range(rb_total):
        after = best[last + 1 + guard_rb]
        after[:] = best[last + guard_rb]
        for n in range(clients):
            firsts = np.flatnonzero(units[n, last] > 0)
            if firsts.size:
                # Axis 2 is bit n of the set.
                by_member = best.reshape(len(best), -1, 2, 1 << n)
                gains = units[n, last, firsts][:, None, None]
                with_n = (by_member[_run(firsts), :, 0] + gains).max(axis=0)
                np.maximum(by_member[last + 1 + guard_rb, :, 1], with_n, out=by_member[last + 1 + guard_rb, :, 1])
    return _trace_back(best, units, guard_rb)


def subset_steps(units: NDArray[np.int64]) -> int:
    """Additions that ``place_exactly`` does."""
    return int((units > 0).sum()) << max(len(units) - 1, 0)


def subset_table(units: NDArray[np.int64], guard_rb: int) -> int:
    """Entries of its table."""
    return (units.shape[1] + guard_rb + 1) << len(units)


def _run(indices: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """A slice where the indices have no holes: it needs no copy."""
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1) if last - first + 1 == len(indices) else indices


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
