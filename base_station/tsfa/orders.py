"""Placement of grants when the order of the clients along the band is given, and better orders (ours).

With the order fixed the best spans follow from dynamic programming over client and position, every client being
free to stay silent. Arrays are those of ``spans``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    rb_total = units.shape[1]
    before = _sums_before(units, others, guard_rb, first)[:, None, :rb_total]
    behind = _sums_behind(units, others, guard_rb, last)[:, 1 + guard_rb :, None]
    totals = (before + behind + units[client]).reshape(len(others) + 1, -1).max(axis=1)
    slot = int(totals.argmax())
    return slot, int(totals[slot])


def _sums_before(
    units: NDArray[np.int64], order: list[int], guard_rb: int, known: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Largest sum of the first i clients of the order in the first p RBs, at [i, p]; ``known``: its first rows."""
    rb_total = units.shape[1]
    sums = np.zeros((len(order) + 1, rb_total + guard_rb + 1), np.int64)
    done = 0
    if known is not None:
        sums[: len(known)], done = known, len(known) - 1
    for i in range(done, len(order)):
        n = order[i]
        sums[i + 1] = sums[i]
        with_n = (units[n] + sums[i, :rb_total]).max(axis=1)
        np.maximum(sums[i + 1, 1 + guard_rb :], with_n, out=sums[i + 1, 1 + guard_rb :])
        np.maximum.accumulate(sums[i + 1], out=sums[i + 1])
    return sums


def _sums_behind(
    units: NDArray[np.int64], order: list[int], guard_rb: int, known: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Largest sum of the clients from the i-th on, from position p on, at [i, p]; ``known``: its last rows."""
    rb_total = units.shape[1]
    sums = np.zeros((len(order) + 1, rb_total + guard_rb + 1), np.int64)
    left = len(order)
    if known is not None:
        left -= len(known) - 1
        sums[left:] = known
    for i in range(left - 1, -1, -1):
        sums[i] = sums[i + 1]
        with_n = (units[order[i]] + sums[i + 1, 1 + guard_rb :, None]).max(axis=0)
        np.maximum(sums[i, :rb_total], with_n, out=sums[i, :rb_total])
        sums[i] = np.maximum.accumulate(sums[i, ::-1])[::-1]
    return sums
