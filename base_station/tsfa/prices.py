"""Prices that make the bound of the relaxation small, and the order of clients they suggest (subgradient, textbook)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.orders import sum_in_order
from base_station.tsfa.relaxation import ROUNDING, Relaxation

PATIENCE = 6
"""Steps without a smaller bound before the search returns to the smallest and takes shorter steps."""

SHORTER = 0.7

MEMORY = 0.6
"""Of the last step's direction in the next: against zigzag."""

STEPS_PER_ORDER = 10

FIRST_STEPS, NEXT_STEPS = 150, 60
"""Steps without and with prices of a similar problem to start from."""

FIRST_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""First prices to try, as shares of the most that each client could gain."""


@dataclass
class PriceSearch:
    """The relaxation of smallest bound found, the best order of clients and what it gains."""

    units: NDArray[np.int64]
    guard_rb: int
    best: Relaxation
    order: list[int]
    reached: int = 0

    @property
    def closed(self) -> bool:
        """Nothing can gain more than the order does, to rounding."""
        return self.best.bound <= self.reached * (1 + 2 * ROUNDING)

    def try_order(self, order: list[int]) -> None:
        """Keep the order if it gains more."""
        reached = sum_in_order(self.units, order, self.guard_rb)
        if reached > self.reached:
            self.order, self.reached = order, reached


def search_prices(units: NDArray[np.int64], guard_rb: int, known: NDArray[np.float64] | None) -> PriceSearch:
    """Descend from the prices ``known`` (N,) of a similar problem, each step aiming at the gain of the best order."""
    values = units.astype(np.float64)
    most = values.max(axis=(1, 2))
    starts = [share * most for share in FIRST_SHARES] if known is None else [np.minimum(known, most)]
    current = min((Relaxation(values, prices, guard_rb) for prices in starts), key=lambda found: found.bound)
    search = PriceSearch(units, guard_rb, current, current.order())
    # So that no grants that lie in input order gain more, equal parts of the band for instance.
    search.try_order(list(range(len(units))))
    length, stalled = 1.0, 0
    direction = np.zeros(len(units))
    for step in range(FIRST_STEPS if known is None else NEXT_STEPS):
        uses = current.uses()
        if step % STEPS_PER_ORDER == 0 or uses.max() <= 1:
            search.try_order(current.order())
        slope = np.where((uses == 0) & (current.prices == 0.0), 0.0, uses - 1.0)
        direction = slope + MEMORY * direction
        if search.closed or not slope.any() or not direction.any():
            break
        stride = length * (current.bound - search.reached) / (direction @ direction)
        current = Relaxation(values, np.maximum(current.prices + stride * direction, 0.0), guard_rb)
        if current.bound < search.best.bound:
            search.best, stalled = current, 0
        else:
            stalled += 1
        if stalled == PATIENCE:
            current, direction = search.best, np.zeros(len(units))
            length, stalled = length * SHORTER, 0
    return search
