"""Grants with a place in the band: exact where affordable, else a good answer and a bound on all others (ours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.knapsack import OUT_OF_BAND
from base_station.tsfa.orders import improve_order, place_in_order
from base_station.tsfa.packing import SILENT, Packing
from base_station.tsfa.prices import PriceSearch, search_prices
from base_station.tsfa.spans import Span, total_units
from base_station.tsfa.subsets import place_exactly, subset_steps, subset_table

DIRECT_STEPS = 2**22
"""Up to here, ten clients in 28 RBs, all subsets are searched at once (milliseconds)."""

PRUNED_STEPS = 2**25
"""Up to here what the bound leaves over is searched (a tenth of a second)."""

LARGEST_TABLE = 2**23
"""Entries of the table of subsets."""


class PlacementPacker:
    """Packer of grants that lie at ``rb_first`` to ``rb_last``, (M,) each.

    Remembers its prices: successive calls are expected to be similar.
    """

    def __init__(
        self, rb_first: NDArray[np.int64], rb_last: NDArray[np.int64], guard_rb: int, rb_total: int, clients: int
    ) -> None:
        self._rb_first, self._rb_last = rb_first, rb_last
        self._guard_rb = guard_rb
        self._index = np.full((rb_total, rb_total), SILENT, np.int64)
        self._index[rb_last, rb_first] = np.arange(len(rb_first))
        self._prices: NDArray[np.float64] = np.full(clients, np.nan)

    def __call__(self, units: NDArray[np.int64]) -> Packing:
        """Place the grants; only clients that could gain anything are looked at."""
        active = np.flatnonzero((units > 0).any(axis=1))
        table = np.full((len(active), *self._index.shape), OUT_OF_BAND, np.int64)
        table[:, self._rb_last, self._rb_first] = np.maximum(units[active], 0)
        if _affordable(table, self._guard_rb, DIRECT_STEPS):
            spans = place_exactly(table, self._guard_rb)
            limit = total_units(table, spans)
        else:
            spans, limit = self._place_by_prices(table, active)
        grant, rb_start = np.full(len(units), SILENT), np.zeros(len(units), np.int64)
        for span in spans:
            grant[active[span.client]] = self._index[span.last, span.first]
            rb_start[active[span.client]] = span.first
        return Packing(grant, rb_start, limit)

    def _place_by_prices(self, table: NDArray[np.int64], active: NDArray[np.intp]) -> tuple[list[Span], int]:
        """Spans, and a limit on the sum of all others."""
        known = self._prices[active]
        search = search_prices(table, self._guard_rb, None if np.isnan(known).any() else known)
        self._prices[active] = search.best.prices
        search.try_order(improve_order(table, search.order, self._guard_rb))
        spans = place_in_order(table, search.order, self._guard_rb)
        pruned = _worth_a_look(search)
        kept = np.flatnonzero((pruned > 0).any(axis=(1, 2)))
        if not _affordable(pruned[kept], self._guard_rb, PRUNED_STEPS):
            return spans, search.reached if search.closed else int(search.best.bound)
        better = [Span(int(kept[s.client]), s.first, s.last) for s in place_exactly(pruned[kept], self._guard_rb)]
        spans = max(spans, better, key=lambda found: total_units(table, found))
        return spans, total_units(table, spans)


def _affordable(table: NDArray[np.int64], guard_rb: int, steps: int) -> bool:
    return subset_table(table, guard_rb) <= LARGEST_TABLE and subset_steps(table) <= steps


def _worth_a_look(search: PriceSearch) -> NDArray[np.int64]:
    """The units without the spans that cannot be part of anything better than the order found."""
    return np.where(search.best.through() > search.reached, search.units, np.minimum(search.units, 0))
