"""Placement of grants when the order of the clients along the band is given, and better orders (ours).

With the order fixed the best spans follow from dynamic programming over client and position, every client being
free to stay silent. Arrays are those of ``spans``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa import kernels
from base_station.tsfa.spans import Span

PASSES = 4
"""Over all clients, at most."""


def place_in_order(units: NDArray[np.int64], order: list[int], guard_rb: int) -> list[Span]:
    """The spans of largest sum whose clients follow each other as in ``order`` (clients may be left out)."""
    before = _sums_before(units, order, guard_rb)
    spans: list[Span] = []
    position = before.shape[1] - 1
    for i in range(len(order) - 1, -1, -1):
        while position and before[i + 1, position] == before[i + 1, position - 1]:
            position -= 1
        if before[i + 1, position] == before[i, position]:
            continue
        last = position - guard_rb - 1
        first = int((before[i, : last + 1] + units[order[i], last, : last + 1]).argmax())
        spans.append(Span(order[i], first, last))
        position = first
    return spans


def sum_in_order(units: NDArray[np.int64], order: list[int], guard_rb: int) -> int:
    """What ``place_in_order`` gains."""
    return int(_sums_before(units, order, guard_rb)[-1, -1])


def improve_order(units: NDArray[np.int64], order: list[int], guard_rb: int) -> list[int]:
    """Take out one client at a time and put it where it gains most, until nothing moves."""
    before, behind = _sums_before(units, order, guard_rb), _sums_behind(units, order, guard_rb)
    best = int(before[-1, -1])
    for _ in range(PASSES):
        improved = False
        for n in order:
            place = order.index(n)
            others = [*order[:place], *order[place + 1 :]]
            slot, total = _best_slot(units, others, n, guard_rb, before[: place + 1], behind[place + 1 :])
            if total > best:
                order, best, improved = [*others[:slot], n, *others[slot:]], total, True
                before, behind = _sums_before(units, order, guard_rb), _sums_behind(units, order, guard_rb)
        if not improved:
            break
    return order


def _best_slot(
    units: NDArray[np.int64], others: list[int], client: int, guard_rb: int,
    first: NDArray[np.int64], last: NDArray[np.int64],
) -> tuple[int, int]:  # fmt: skip
    """Where among the others the client gains most, and the sum of all then.

    ``first``, ``last``: what is known of the sums before the first of the others, and behind the last of them.
    """
    before, behind = _sums_before(units, others, guard_rb, first), _sums_behind(units, others, guard_rb, last)
    return kernels.best_slot(units[client], guard_rb, before, behind)


def _sums_before(
    units: NDArray[np.int64], order: list[int], guard_rb: int, known: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Largest sum of the first i clients of the order in the first p RBs, at [i, p]; ``known``: its first rows."""
    sums = np.zeros((len(order) + 1, units.shape[1] + guard_rb + 1), np.int64)
    known = sums[:1] if known is None else known
    sums[: len(known)] = known
    kernels.extend_sums_before(units, np.array(order, np.int64), guard_rb, len(known) - 1, sums)
    return sums


def _sums_behind(
    units: NDArray[np.int64], order: list[int], guard_rb: int, known: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Largest sum of the clients from the i-th on, from position p on, at [i, p]; ``known``: its last rows."""
    sums = np.zeros((len(order) + 1, units.shape[1] + guard_rb + 1), np.int64)
    known = sums[-1:] if known is None else known
    left = len(sums) - len(known)
    sums[left:] = known
    kernels.extend_sums_behind(units, np.array(order, np.int64), guard_rb, left, sums)
    return sums
