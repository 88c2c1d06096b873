"""Every grant a client could be given: what it gains over silence and how long it takes.

A table over clients, grants and curve points is never held: for 1,000 clients in 273 RBs it would have 9 million
entries. Gains are tabulated by grant, or the fewest RBs by point, for one latency cap at a time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.problem import Instance
from base_station.tsfa.tables import curve_tables, padded_ladder, rate_tables

GAIN_UNITS = 2**58
"""Integer units that the sum of all energy terms is divided into: sums are exact in any order."""

RB_PENALTY_UNITS = 2**12
"""Gain an extra RB must bring. Far above the rounding of a gain (a few 2**-53 of the sum of all
energy terms), so of equal allocations the one with fewest RBs wins, and far below any real difference."""

SAME_LATENCY = 1e-12
"""Latencies closer than this, relative, are one latency that was rounded in two ways."""

SLOWEST_BPS = 1e-300
"""Rates below are counted as this where gains are computed, so that nothing overflows to NaN."""

BLOCK_ENTRIES = 2**14
"""Of the table of gains that are computed at a time: they stay in the processor's cache."""


def just_below(latency_s: float) -> float:
    """A latency that is another one, with none of interest between."""
    return min(latency_s * (1 - 4 * SAME_LATENCY), math.nextafter(latency_s, -math.inf))


def just_above(latency_s: float) -> float:
    """A latency that is another one, with none of interest between."""
    return max(latency_s * (1 + 4 * SAME_LATENCY), math.nextafter(latency_s, math.inf))


@dataclass(frozen=True)
class Options:
    """The grants of R clients (rows): M grants each, curve points j = 0..P-1 (padded).

    A grant is a number of RBs, 1 to K, or where rates depend on the place, a number and a first RB.
    ``client`` (R,): index of the row's client; those for whom no grant is useful have no row.
    ``rb_count``, ``rb_start`` (M,): RBs and first RB of a grant; no first RB where it does not matter.
    ``rate_bps`` (R, M): 0 where a grant is impossible or no faster than one with fewer RBs.
    ``ladder_bps`` (R, 2^b - 1): rates in falling order, then zeros. Without places entry M - k is that of k RBs.
    ``bits`` (R, P): infinite where nothing can be sent (zero bits, padding).
    ``saved`` (R, P): V weight energy saved.   ``ready_s`` (R,): when the first bit can be sent.
    ``worth``, ``cost`` (R, P): a grant gains ``worth - cost / rate``.
    ``met`` (R, P): rungs of the ladder that keep a point's latency within the deadline ``limit_s``.
    ``floor_s``: the largest compute time; no allocation has a smaller largest latency.
    ``energy_total``: sum of V weight energy over all useful clients, the scale of ties.
    """

    rb_total: int
    client: NDArray[np.intp]
    rb_count: NDArray[np.int64]
    rb_start: NDArray[np.int64] | None
    rate_bps: NDArray[np.float64]
    ladder_bps: NDArray[np.float64]
    bits: NDArray[np.float64]
    worth: NDArray[np.float64]
    cost: NDArray[np.float64]
    ready_s: NDArray[np.float64]
    met: NDArray[np.int64]
    limit_s: float
    floor_s: float
    energy_total: float

    @property
    def tie(self) -> float:
        """Objectives closer than this are equal."""
        return 4 * self.rb_total * RB_PENALTY_UNITS * self.energy_total / GAIN_UNITS

    @property
    def free(self) -> bool:
        """Nobody pays for the time a grant takes, so of each point only the fewest RBs matter."""
        return not self.cost.any()

    def units_of(self, gain: NDArray[np.float64], rb_count: NDArray[np.int64]) -> NDArray[np.int64]:
        """Gains in integer units with the RB penalty taken off; 0 or less: useless."""
        if self.energy_total == 0.0:
            return np.zeros(gain.shape, np.int64)
        units: NDArray[np.int64] = np.rint(gain / self.energy_total * GAIN_UNITS).astype(np.int64)
        units -= RB_PENALTY_UNITS * rb_count
        return units

    def gain_of(self, units: int) -> float:
        """What an amount of units is worth, the penalty of RBs not counted."""
        return units / GAIN_UNITS * self.energy_total

    def units_below(self, gain: float) -> int:
        """What grants of a gain have at least; never negative."""
        if gain <= self.tie:
            return 0
        return math.floor((gain - self.tie) / self.energy_total * GAIN_UNITS)

    def gains(self, cap_s: float) -> NDArray[np.float64]:
        """What each grant gains with its best point of latency at most ``cap_s``, (R, M); 0 where useless."""
        slowest = self._slowest_bps(cap_s)
        gains = np.zeros(self.rate_bps.shape)
        for rows in self._blocks():
            rate, best = self.rate_bps[rows], gains[rows]
            inverse = 1.0 / np.maximum(rate, SLOWEST_BPS)
            least = rate.min(axis=1, initial=np.inf)
            work = np.empty_like(best)
            for j in range(1, self.bits.shape[1]):
                needed = slowest[rows, j]
                if np.isinf(needed).all():
                    continue
                with np.errstate(over="ignore"):
                    np.multiply(inverse, self.cost[rows, j, None], out=work)
                np.subtract(self.worth[rows, j, None], work, out=work)
                if (needed > least).any():
                    work[rate < needed[:, None]] = 0.0
                np.maximum(best, work, out=best)
        return gains

    def points(self, row: NDArray[np.intp], grant: NDArray[np.int64], cap_s: float) -> NDArray[np.int64]:
        """The point that gains most with each of S grants, (S,); the fewest bits among equal ones."""
        rate = self.rate_bps[row, grant][:, None]
        chosen = self._only(row)
        with np.errstate(over="ignore"):
            gain = chosen.worth - chosen.cost * (1.0 / np.maximum(rate, SLOWEST_BPS))
        point: NDArray[np.int64] = np.where(rate >= chosen._slowest_bps(cap_s), gain, 0.0).argmax(axis=1)
        return point

    def fewest_rb(self, cap_s: float) -> NDArray[np.int64]:
        """Least RBs with which a point's latency is at most ``cap_s``, (R, P); more than there are if it cannot be.

        Only where rates do not depend on the place.
        """
        return len(self.rb_count) + 1 - self._met(cap_s)

    def gain_at(self, row: NDArray[np.intp], grant: NDArray[np.int64], point: NDArray[np.int64]) -> NDArray[np.float64]:
        """What S grants gain, (S,)."""
        inverse = 1.0 / np.maximum(self.rate_bps[row, grant], SLOWEST_BPS)
        gain: NDArray[np.float64] = self.worth[row, point] - self.cost[row, point] * inverse
        return gain

    def latency_at(
        self, row: NDArray[np.intp], grant: NDArray[np.int64], point: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """How long S grants take, (S,)."""
        latency: NDArray[np.float64] = self.ready_s[row] + self.bits[row, point] / self.rate_bps[row, grant]
        return latency

    def cap_at_most(self, cap_s: float) -> float:
        """The largest value that the largest latency can take up to ``cap_s``."""
        met = self._met(cap_s)
        return float(self._rung_s(met - 1)[met > 0].max(initial=self.floor_s))

    def cap_at_least(self, cap_s: float) -> float:
        """The least such value from ``cap_s`` on; infinite if there is none."""
        if cap_s <= self.floor_s:
            return self.floor_s
        met = self._met(just_below(cap_s))
        return float(self._rung_s(met)[met < self.met].min(initial=np.inf))

    def only_grants(self, keep: NDArray[np.bool_]) -> Options:
        """Without the grants not in ``keep`` (R, M)."""
        rows, narrowed = self._rows_of(keep)
        return replace(narrowed, rate_bps=np.where(keep[rows], narrowed.rate_bps, 0.0))

    def only_points(self, keep: NDArray[np.bool_]) -> Options:
        """Without the points not in ``keep`` (R, P)."""
        rows, narrowed = self._rows_of(keep)
        return replace(
            narrowed,
            bits=np.where(keep[rows], narrowed.bits, np.inf),
            met=np.where(keep[rows], narrowed.met, 0),
        )

    def only_useful(self) -> Options:
        """Without clients who gain nothing with their fastest grant."""
        fastest = self.ladder_bps[:, :1]
        with np.errstate(over="ignore"):
            gain = self.worth - self.cost / np.maximum(fastest, SLOWEST_BPS)
        return self._only(np.flatnonzero(((gain > 0.0) & (self.met > 0)).any(axis=1)))

    def _rows_of(self, keep: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Options]:
        """The clients of whom something is kept."""
        rows = np.flatnonzero(keep.any(axis=1))
        return rows, self if len(rows) == len(keep) else self._only(rows)

    def _only(self, rows: NDArray[np.intp]) -> Options:
        return replace(
            self,
            client=self.client[rows],
            rate_bps=self.rate_bps[rows],
            ladder_bps=self.ladder_bps[rows],
            bits=self.bits[rows],
            worth=self.worth[rows],
            cost=self.cost[rows],
            ready_s=self.ready_s[rows],
            met=self.met[rows],
        )

    def _blocks(self) -> Iterator[slice]:
        step = max(BLOCK_ENTRIES // max(len(self.rb_count), 1), 1)
        return (slice(first, first + step) for first in range(0, len(self.client), step))

    def _met(self, cap_s: float) -> NDArray[np.int64]:
        """How many rungs of the ladder keep a point's latency within ``cap_s``, (R, P), by bisection."""
        cap_s *= 1 + SAME_LATENCY
        if cap_s >= self.limit_s:
            return self.met
        room_s = np.maximum(cap_s - self.ready_s, 0.0)[:, None]
        with np.errstate(divide="ignore", over="ignore"):
            needed = self.bits / room_s
        first = self._first_rung()
        rung = np.broadcast_to(first, needed.shape).copy()
        step = (self.ladder_bps.shape[1] + 1) // 2
        while step:
            rung += step * (self.ladder_bps.take(rung + (step - 1)) >= needed)
            step //= 2
        return np.minimum(rung - first, self.met)

    def _first_rung(self) -> NDArray[np.int64]:
        return self.ladder_bps.shape[1] * np.arange(len(self.client))[:, None]

    def _rung_s(self, rung: NDArray[np.int64]) -> NDArray[np.float64]:
        """Latency of each point at a rung of its client's ladder, (R, P); of no meaning beyond its foot."""
        rate = self.ladder_bps.take(rung + self._first_rung(), mode="clip")
        with np.errstate(divide="ignore", over="ignore"):
            latency: NDArray[np.float64] = self.ready_s[:, None] + self.bits / rate
        return latency

    def _within_limit(self) -> NDArray[np.int64]:
        """How many rungs keep a point's latency within the deadline, (R, P): to the last digit."""
        met = np.zeros(self.bits.shape, np.int64)
        step = (self.ladder_bps.shape[1] + 1) // 2
        while step:
            met += step * (self._rung_s(met + (step - 1)) <= self.limit_s)
            step //= 2
        return met

    def _slowest_bps(self, cap_s: float) -> NDArray[np.float64]:
        """Least rate that keeps a point's latency within ``cap_s``, (R, P); infinite if none does."""
        met = self._met(cap_s)
        rate = np.take_along_axis(self.ladder_bps, np.maximum(met - 1, 0), axis=1)
        return np.where(met > 0, rate, np.inf)


def build_options(instance: Instance, latency_price: NDArray[np.float64]) -> Options:
    """All grants. ``latency_price`` (N,): what a second of airtime costs each client in the objective."""
    clients = instance.clients
    rb_count, rb_start, rate = rate_tables(instance)
    bits, energy = curve_tables(clients)
    scale = instance.V * np.array([c.weight for c in clients])
    compute = np.array([c.compute_s for c in clients])
    overhead = np.array([c.overhead_s for c in clients])
    sends = bits > 0
    with np.errstate(over="ignore"):
        cost = np.minimum(latency_price[:, None] * bits, sys.float_info.max)
        worth = scale[:, None] * (energy[:, :1] - energy) - (latency_price * overhead)[:, None]
    options = Options(
        rb_total=instance.rb_total,
        client=np.arange(len(clients)),
        rb_count=rb_count,
        rb_start=rb_start,
        rate_bps=rate,
        ladder_bps=padded_ladder(rate, placed=rb_start is not None),
        bits=np.where(sends, bits, np.inf),
        worth=np.where(sends, worth, 0.0),
        cost=cost,
        ready_s=compute + overhead,
        met=np.zeros(bits.shape, np.int64),
        limit_s=sys.float_info.max if instance.deadline_s is None else instance.deadline_s,
        floor_s=float(compute.max(initial=0.0)),
        energy_total=0.0,
    )
    useful = replace(options, met=options._within_limit()).only_useful()
    return replace(useful, energy_total=float((scale * energy[:, 0])[useful.client].sum()))
