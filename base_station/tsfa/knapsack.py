"""Multiple-choice knapsack over resource blocks: exact by dynamic programming over what the bound leaves open.

Few clients are undecided once the price of an RB is known: an item whose loss exceeds the distance between the bound
and the best items known cannot be part of anything better (reduced-cost fixing, textbook).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.dual import SILENT, Dual, Items, best_price

OUT_OF_BAND = -(2**61)
"""Value of a band of negative width: lower than any sum of gains."""

Offer = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

MOST_STEPS = 2**26
"""Additions of a dynamic programme (a quarter of a second); it is given no more items than that allows."""


@dataclass(frozen=True)
class Knapsack:
    """Chosen items, (R,), or SILENT, that sum to ``reached``; no others that fit sum to more than ``limit``."""

    choice: NDArray[np.int64]
    reached: int
    limit: int
    dual: Dual


def solve_knapsack(items: Items, least: int = 0) -> Knapsack:
    """Items of the largest sum; where ``MOST_STEPS`` do not suffice, of a large sum; any if none sum to ``least``."""
    dual = best_price(items)
    if dual.bound < least:
        return Knapsack(dual.choice, total_units(items, dual.choice), dual.bound, dual)
    choice = _filled(items, dual)
    reached = total_units(items, choice)
    threshold = _affordable_threshold(items, dual, dual.bound - reached)
    if dual.bound > reached:
        choice, reached = _better(items, (choice, reached), _search(items, dual, threshold))
    if threshold >= dual.bound - reached:
        return Knapsack(choice, reached, reached, dual)
    choice, reached = _better(items, (choice, reached), equal_shares(items))
    return Knapsack(choice, reached, dual.bound, dual)


def total_units(items: Items, choice: NDArray[np.int64]) -> int:
    """What the chosen items gain together."""
    rows = np.flatnonzero(choice != SILENT)
    return int(items.units[rows, choice[rows]].sum())


def equal_shares(items: Items) -> NDArray[np.int64]:
    """The best choice in which all who take anything take the same item: the band in equal parts."""
    best, reached = np.full(len(items.units), SILENT), 0
    for item in range(items.units.shape[1]):
        units = items.units[:, item]
        order = np.argsort(-units, kind="stable")
        fitting = order[np.cumsum(items.size[order, item]) <= items.capacity]
        taken = fitting[units[fitting] > 0]
        if units[taken].sum() > reached:
            best, reached = np.full(len(units), SILENT), int(units[taken].sum())
            best[taken] = item
    return best


def _better(
    items: Items, known: tuple[NDArray[np.int64], int], choice: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    reached = total_units(items, choice)
    return (choice, reached) if reached > known[1] else known


def _filled(items: Items, dual: Dual) -> NDArray[np.int64]:
    """The choice of the price with the rest of the band given out, each time where it gains most."""
    choice = dual.choice.copy()
    rows = np.flatnonzero(choice != SILENT)
    held_size, held_units = np.zeros(len(choice), np.int64), np.zeros(len(choice), np.int64)
    held_size[rows], held_units[rows] = items.size[rows, choice[rows]], items.units[rows, choice[rows]]
    left = items.capacity - int(held_size.sum())
    row, item = np.nonzero(dual.loss <= dual.bound - int(held_units.sum()))
    size, units = items.size[row, item], items.units[row, item]
    while row.size:
        more = np.where(size - held_size[row] <= left, units - held_units[row], 0)
        best = int(more.argmax())
        if more[best] <= 0:
            break
        n = row[best]
        left -= int(size[best] - held_size[n])
        choice[n], held_size[n], held_units[n] = item[best], size[best], units[best]
    return choice


def _affordable_threshold(items: Items, dual: Dual, wanted: int) -> int:
    """The largest loss up to ``wanted`` such that the items up to it can be searched."""
    low, high = 0, wanted
    while low < high:
        # First `wanted` itself, which is nearly always affordable.
        middle = high if high == wanted else (low + high + 1) // 2
        if _steps(items, dual, middle) <= MOST_STEPS:
            low = middle
        else:
            high = middle - 1
    return low


def _steps(items: Items, dual: Dual, threshold: int) -> int:
    return int((dual.loss <= threshold).sum()) * items.capacity


def _search(items: Items, dual: Dual, threshold: int) -> NDArray[np.int64]:
    """The best choice of items whose loss is at most the threshold; nothing if those that must be chosen do not fit."""
    keep = dual.loss <= threshold
    decided = (keep.sum(axis=1) == 1) & (dual.silence > threshold)
    choice = np.where(decided, keep.argmax(axis=1), SILENT)
    rows = np.flatnonzero(decided)
    left = items.capacity - int(items.size[rows, choice[rows]].sum())
    if left < 0:
        return np.full(len(choice), SILENT)
    undecided = np.flatnonzero(keep.any(axis=1) & ~decided)
    offers = [_worthwhile(items, n, np.flatnonzero(keep[n]), left) for n in undecided]
    columns: list[Offer] = [(items.size[n, o], items.units[n, o], o) for n, o in zip(undecided, offers, strict=True)]
    choice[undecided] = _pack(columns, left)
    return choice


def _worthwhile(items: Items, row: int, offer: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The items that fit and gain more than every smaller one; sizes do not fall along a row."""
    offer = offer[items.size[row, offer] <= capacity]
    units = items.units[row, offer]
    worthwhile: NDArray[np.int64] = offer[units > np.maximum.accumulate(np.append(0, units))[:-1]]
    return worthwhile


def _pack(offers: list[Offer], capacity: int) -> NDArray[np.int64]:
    """The best item of each (size, units, item), or SILENT, by dynamic programming.

    ``best[n, c]``: the largest sum of the first n offers in a band of c.
    """
    best = np.zeros((len(offers) + 1, capacity + 1), np.int64)
    for n, (size, units, _) in enumerate(offers):
        best[n + 1] = best[n]
        if len(size):
            padded = np.concatenate([np.full(capacity, OUT_OF_BAND, np.int64), best[n]])
            shifted = np.lib.stride_tricks.sliding_window_view(padded, capacity + 1)[capacity - size]
            np.maximum(best[n], (shifted + units[:, None]).max(axis=0), out=best[n + 1])
    choice, left = np.full(len(offers), SILENT), capacity
    for n in range(len(offers) - 1, -1, -1):
        if best[n + 1, left] != best[n, left]:
            size, units, item = (column[offers[n][0] <= left] for column in offers[n])
            chosen = int(np.flatnonzero(best[n, left - size] + units == best[n + 1, left])[0])
            choice[n], left = item[chosen], left - int(size[chosen])
    return choice
