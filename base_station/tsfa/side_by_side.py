"""Grants where only their number of RBs counts: they lie side by side in input order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.dual import EXCLUDED, SILENT, Items
from base_station.tsfa.grants import Grants
from base_station.tsfa.knapsack import Knapsack, solve_knapsack
from base_station.tsfa.options import Options


@dataclass(frozen=True)
class SideBySide:
    """Packer by the multiple-choice knapsack: a grant of k RBs takes k + guard_rb of rb_total + guard_rb.

    Where no grants gain ``least_gain`` it does not look for the best.
    """

    options: Options
    guard_rb: int
    rb_total: int
    least_gain: float = -math.inf

    def best(self, cap_s: float) -> Grants:
        """Grants of the largest gain with no latency above ``cap_s``, of those the fewest RBs."""
        count, gain = self._offers(cap_s)
        units = self.options.units_of(gain, count)
        capacity = self.rb_total + self.guard_rb
        taken = (units > 0) & (count + self.guard_rb <= capacity)
        items = Items(np.where(taken, count + self.guard_rb, 1), np.where(taken, units, 0), capacity)
        return self._grants(solve_knapsack(items, self.options.units_below(self.least_gain)), count, cap_s)

    def _offers(self, cap_s: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """RBs and gain of all items, (R, J): a number of RBs with its best point, or a point with its fewest RBs."""
        options = self.options
        if not options.free:
            gain = options.gains(cap_s)
            return np.broadcast_to(options.rb_count, gain.shape), gain
        count = options.fewest_rb(cap_s)
        return count, np.where(count <= len(options.rb_count), options.worth, 0.0)

    def _grants(self, found: Knapsack, count: NDArray[np.int64], cap_s: float) -> Grants:
        options = self.options
        row = np.flatnonzero(found.choice != SILENT)
        item = found.choice[row]
        rb_count = count[row, item]
        point = item if options.free else options.points(row, rb_count - 1, cap_s)
        sizes = rb_count + self.guard_rb
        gain = float(options.gain_at(row, rb_count - 1, point).sum())
        return Grants(
            client=options.client[row],
            rb_count=rb_count,
            rb_start=np.cumsum(sizes) - sizes,
            point=point,
            gain=gain,
            gain_limit=self._limit(found, found.limit, gain),
            relaxed_gain=self._limit(found, found.dual.bound, gain),
            largest_latency_s=float(options.latency_at(row, rb_count - 1, point).max(initial=options.floor_s)),
            nearby=lambda least_gain: self._nearby(found, least_gain),
        )

    def _limit(self, found: Knapsack, units: int, gain: float) -> float:
        return gain if units == found.reached else self.options.gain_of(units) + self.options.tie

    def _nearby(self, found: Knapsack, least_gain: float) -> SideBySide:
        keep = found.dual.loss <= min(found.dual.bound - self.options.units_below(least_gain), EXCLUDED - 1)
        narrowed = self.options.only_points(keep) if self.options.free else self.options.only_grants(keep)
        return SideBySide(narrowed, self.guard_rb, self.rb_total, least_gain)
