"""Grants with a place in the band: exact where affordable, else a good answer and a bound on all others (ours)."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.dual import SILENT
from base_station.tsfa.grants import Grants
from base_station.tsfa.knapsack import OUT_OF_BAND
from base_station.tsfa.options import Options
from base_station.tsfa.orders import improve_order, place_in_order
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
    """Packer of grants that lie at certain RBs.

    Remembers its prices: successive calls are expected to be similar. Where no grants gain enough units (``_least``)
    it does not look for the best.
    """

    def __init__(self, options: Options, guard_rb: int, rb_total: int) -> None:
        self.options = options
        self._guard_rb = guard_rb
        self._rb_first = np.zeros(0, np.int64) if options.rb_start is None else options.rb_start
        self._rb_last = self._rb_first + options.rb_count - 1
        self._index = np.full((rb_total, rb_total), SILENT, np.int64)
        self._index[self._rb_last, self._rb_first] = np.arange(len(self._rb_first))
        self._prices: NDArray[np.float64] = np.full(len(options.client), np.nan)
        self._least = 0

    def best(self, cap_s: float) -> Grants:
        """Grants of large gain, of those the fewest RBs, with no latency above ``cap_s``."""
        options = self.options
        units = options.units_of(options.gains(cap_s), options.rb_count)
        spans, limit = self._place(units)
        row = np.array([span.client for span in spans], np.intp)
        grant = np.array([self._index[span.last, span.first] for span in spans], np.int64)
        point = options.points(row, grant, cap_s)
        gain = float(options.gain_at(row, grant, point).sum())
        proven = limit == int(units[row, grant].sum())
        gain_limit = gain if proven else options.gain_of(limit) + options.tie
        return Grants(
            client=options.client[row],
            rb_count=options.rb_count[grant],
            rb_start=self._rb_first[grant],
            point=point,
            gain=gain,
            gain_limit=gain_limit,
            relaxed_gain=gain_limit,
            largest_latency_s=float(options.latency_at(row, grant, point).max(initial=options.floor_s)),
            nearby=self._wanting,
        )

    def _wanting(self, least_gain: float) -> PlacementPacker:
        """The same packer, prices included, that looks only for grants of at least some gain."""
        packer = copy(self)
        packer._least = self.options.units_below(least_gain)
        return packer

    def _place(self, units: NDArray[np.int64]) -> tuple[list[Span], int]:
        """Spans of clients that could gain anything, and a limit on the sum of all others."""
        active = np.flatnonzero((units > 0).any(axis=1))
        table = np.full((len(active), *self._index.shape), OUT_OF_BAND, np.int64)
        table[:, self._rb_last, self._rb_first] = np.maximum(units[active], 0)
        if _affordable(table, self._guard_rb, DIRECT_STEPS):
            spans = place_exactly(table, self._guard_rb)
            limit = total_units(table, spans)
        else:
            spans, limit = self._place_by_prices(table, active)
        return [Span(int(active[span.client]), span.first, span.last) for span in spans], limit

    def _place_by_prices(self, table: NDArray[np.int64], active: NDArray[np.intp]) -> tuple[list[Span], int]:
        """Spans, and a limit on the sum of all others."""
        known = self._prices[active]
        search = search_prices(table, self._guard_rb, None if np.isnan(known).any() else known)
        self._prices[active] = search.best.prices
        if search.best.bound < self._least:
            return place_in_order(table, search.order, self._guard_rb), int(search.best.bound)
        search.try_order(improve_order(table, search.order, self._guard_rb))
        spans = place_in_order(table, search.order, self._guard_rb)
        pruned = _worth_a_look(search, max(search.reached, self._least - 1))
        kept = np.flatnonzero((pruned > 0).any(axis=(1, 2)))
        if not _affordable(pruned[kept], self._guard_rb, PRUNED_STEPS):
            return spans, search.reached if search.closed else int(search.best.bound)
        better = [Span(int(kept[s.client]), s.first, s.last) for s in place_exactly(pruned[kept], self._guard_rb)]
        spans = max(spans, better, key=lambda found: total_units(table, found))
        return spans, max(total_units(table, spans), self._least - 1)


def _affordable(table: NDArray[np.int64], guard_rb: int, steps: int) -> bool:
    return subset_table(table, guard_rb) <= LARGEST_TABLE and subset_steps(table) <= steps


def _worth_a_look(search: PriceSearch, known: int) -> NDArray[np.int64]:
    """The units without the spans that cannot be part of anything that gains more than is known."""
    return np.where(search.best.through() > known, search.units, np.minimum(search.units, 0))
