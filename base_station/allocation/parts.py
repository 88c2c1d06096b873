"""The band in equal parts (ours where the textbook says "equal bandwidth" and the band has holes)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from base_station.allocation.interface import Grant, rate_square
from base_station.tsfa.problem import Instance

Squares = NDArray[np.float64]
"""Goodput of every grant of several clients, bit/s, (N, K, K) at [client, RBs - 1, first RB]."""


def rate_squares(instance: Instance) -> Squares:
    """Of all clients of the instance."""
    squares = np.zeros((len(instance.clients), instance.rb_total, instance.rb_total))
    for square, client in zip(squares, instance.clients, strict=True):
        square[:] = rate_square(client, instance.rb_total)
    return squares


def equal_grants(instance: Instance, squares: Squares, members: Sequence[int]) -> list[Grant | None]:
    """Parts of as many RBs for each of ``members``; everybody else has none.

    The parts are the widest of which there are enough, ``guard_rb`` apart, without RBs that nobody can use. Who has
    which one: as many as possible can use theirs, and then the sum of goodput is largest. In its part a client uses
    the RBs of the highest goodput (a weak one concentrates its power in fewer). With more members than places in the
    band some have none.
    """
    grants: list[Grant | None] = [None] * len(instance.clients)
    if len(members) == 0 or instance.rb_total == 0:
        return grants
    chosen = squares[members]
    starts, rb_count = widest_parts(usable_rbs(squares), len(members), instance.guard_rb)
    offers = [_best_within(chosen, start, rb_count) for start in starts]
    rate = np.array([best for best, _ in offers]).reshape(len(starts), len(members)).T
    # One more client always outweighs the goodput of all.
    value = np.where(rate > 0.0, 1.0 + rate / (max(rate.max(initial=0.0), 1e-300) * (len(members) + 1)), 0.0)
    for row, part in zip(*linear_sum_assignment(value, maximize=True), strict=True):
        if rate[row, part] > 0.0:
            grants[members[row]] = offers[part][1][row]
    return grants


def usable_rbs(squares: Squares) -> NDArray[np.bool_]:
    """RBs that lie in a grant somebody can use, (K,): barred ones do not."""
    total = squares.shape[1]
    usable = np.zeros(total, bool)
    for row, start in zip(*np.nonzero(squares.any(axis=0)), strict=True):
        usable[start : start + row + 1] = True
    return usable


def widest_parts(usable: NDArray[np.bool_], wanted: int, guard_rb: int) -> tuple[list[int], int]:
    """First RBs of all parts, and their RBs: the most of which ``wanted`` parts fit, or else one."""
    for rb_count in range(len(usable), 1, -1):
        starts = _lay_out(usable, rb_count, guard_rb)
        if len(starts) >= wanted:
            return starts, rb_count
    return _lay_out(usable, 1, guard_rb), 1


def _lay_out(usable: NDArray[np.bool_], rb_count: int, guard_rb: int) -> list[int]:
    """First RBs of as many parts as fit, from the left."""
    starts: list[int] = []
    position = 0
    while position + rb_count <= len(usable):
        unusable = np.flatnonzero(~usable[position : position + rb_count])
        if unusable.size:
            position += int(unusable[-1]) + 1
        else:
            starts.append(position)
            position += rb_count + guard_rb
    return starts


def _best_within(squares: Squares, start: int, rb_count: int) -> tuple[NDArray[np.float64], list[Grant]]:
    """The highest goodput of each client inside a part, (N,), and the RBs it takes, the fewest among equals."""
    grants = [Grant(s, k) for k in range(1, rb_count + 1) for s in range(start, start + rb_count - k + 1)]
    rates = squares[:, [g.rb_count - 1 for g in grants], [g.rb_start for g in grants]]
    best = rates.argmax(axis=1)
    return rates.max(axis=1), [grants[i] for i in best]
