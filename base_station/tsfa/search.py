"""The best grants under each latency model, ties broken by the largest latency and then by RBs (ours)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.options import SAME_LATENCY, Options
from base_station.tsfa.packing import Packer

MOST_UNPROVEN = 24
"""Latency caps whose grants are not proven the best, before the search of the ``round`` model stops."""


@dataclass(frozen=True)
class Grants:
    """RBs (0: silent), first RB and curve point of each client, (N,) each, what they gain, the largest latency.

    ``gain_limit``: nothing gains more under the same latency cap.
    """

    rb_count: NDArray[np.int64]
    rb_start: NDArray[np.int64]
    point: NDArray[np.int64]
    gain: float
    gain_limit: float
    largest_latency_s: float

    @property
    def proven(self) -> bool:
        """Nothing gains more under the same latency cap."""
        return self.gain_limit <= self.gain


@dataclass(frozen=True)
class Answer:
    """The best grants found; no others save more than ``saving_limit`` against silence. ``exact``: nor do these."""

    grants: Grants
    saving_limit: float
    exact: bool


def best_grants(options: Options, pack: Packer, cap_s: float) -> Grants:
    """Grants of large gain, of those the fewest RBs, with no latency above ``cap_s``."""
    units, point = options.within(cap_s)
    packing = pack(units)
    active = np.flatnonzero(packing.grant >= 0)
    grant = packing.grant[active]
    counts, chosen = np.zeros(len(units), np.int64), np.zeros(len(units), np.int64)
    counts[active], chosen[active] = options.rb_count[grant], point[active, grant]
    at = (active, grant, chosen[active])
    gain = float(options.gain[at].sum())
    proven = packing.limit == int(units[active, grant].sum())
    return Grants(
        rb_count=counts,
        rb_start=packing.rb_start,
        point=chosen,
        gain=gain,
        gain_limit=gain if proven else options.gain_of(packing.limit) + options.tie,
        largest_latency_s=float(options.latency_s[at].max(initial=options.floor_s)),
    )


def search_per_client(options: Options, pack: Packer) -> Answer:
    """Latencies are already priced into the gains: one packing, then the tie-break.

    The largest gain under a latency cap falls with the cap, so the smallest cap that keeps it is
    found by bisection; usually the first step shows that there is no tie.
    """
    best = best_grants(options, pack, np.inf)
    if not best.proven:
        return Answer(best, best.gain_limit, exact=False)
    return Answer(_quickest(options, pack, best), best.gain_limit, exact=True)


def _quickest(options: Options, pack: Packer, best: Grants) -> Grants:
    """Of the grants that gain as much as ``best`` those of smallest largest latency."""
    if best.largest_latency_s <= options.floor_s:
        return best
    needed = best.gain - options.tie
    lower = best_grants(options, pack, best.largest_latency_s * (1 - SAME_LATENCY))
    if lower.gain < needed:
        return best
    caps = options.caps_s()
    low, high = -1, int(np.searchsorted(caps, lower.largest_latency_s))
    best = lower
    while high - low > 1:
        middle = (low + high) // 2
        grants = best_grants(options, pack, float(caps[middle]))
        if grants.gain >= needed:
            best, high = grants, int(np.searchsorted(caps, grants.largest_latency_s))
        else:
            low = middle
    return best


def search_round(options: Options, pack: Packer, queue_s: float) -> Answer:
    """Minimise queue_s x L - gain(L) over the largest latency L: branch and bound on intervals of L."""
    search = _RoundSearch(options, pack, queue_s, _worthwhile_caps_s(options, queue_s))
    slack = options.tie + 1e-15 * queue_s * float(search.caps_s[-1])
    search.run(slack)
    equal = [g for g in search.solved if search.value(g) <= search.best_value + slack]
    saving_limit = queue_s * options.floor_s - search.bound
    exact = search.bound >= search.best_value - 2 * slack
    return Answer(min(equal, key=lambda g: g.largest_latency_s), saving_limit, exact)


def _worthwhile_caps_s(options: Options, queue_s: float) -> NDArray[np.float64]:
    # A latency that costs more than all energy is worth loses to silence, however absurd a rate made it.
    caps = options.caps_s()
    return caps[queue_s * (caps - options.floor_s) <= options.energy_total + options.tie]


@dataclass
class _Interval:
    """Latency caps ``first`` to ``last``, under which no grants gain more than the limit.

    ``closed``: a single cap that was solved, but whose grants are not proven the best.
    """

    first: int
    last: int
    gain_limit: float
    closed: bool = False


@dataclass
class _RoundSearch:
    """gain(L), the largest gain with no latency above L, is non-decreasing, so an interval whose
    right neighbour gains at most G and whose smallest latency is L is worth at least queue_s x L - G.
    """

    options: Options
    pack: Packer
    queue_s: float
    caps_s: NDArray[np.float64]
    intervals: list[_Interval] = field(default_factory=list)
    """Where better grants may be."""
    solved: list[Grants] = field(default_factory=list)
    best_value: float = math.inf

    def run(self, slack: float) -> None:
        """Search until no interval can hold anything better, or too much stays unproven."""
        self._solve(_Interval(0, len(self.caps_s) - 1, math.inf), len(self.caps_s) - 1)
        while sum(i.closed for i in self.intervals) < MOST_UNPROVEN:
            worst = min((i for i in self.intervals if not i.closed), key=self._least_value, default=None)
            if worst is None or self._least_value(worst) > self.best_value + slack:
                break
            self.intervals.remove(worst)
            self._solve(worst, (worst.first + worst.last) // 2)

    @property
    def bound(self) -> float:
        """No grants are worth less."""
        return min([self.best_value, *map(self._least_value, self.intervals)])

    def value(self, grants: Grants) -> float:
        """What is minimised."""
        return self.queue_s * grants.largest_latency_s - grants.gain

    def _least_value(self, interval: _Interval) -> float:
        return self.queue_s * float(self.caps_s[interval.first]) - interval.gain_limit

    def _solve(self, interval: _Interval, cap: int) -> None:
        """Split the interval at a cap, by the grants under it."""
        grants = best_grants(self.options, self.pack, float(self.caps_s[cap]))
        self.solved.append(grants)
        self.best_value = min(self.best_value, self.value(grants))
        for other in self.intervals:
            if other.last < cap:
                other.gain_limit = min(other.gain_limit, grants.gain_limit)
        below = cap
        if grants.proven:
            # Between the latency reached and the cap nothing gains more.
            below = int(np.searchsorted(self.caps_s, grants.largest_latency_s))
        else:
            self.intervals.append(_Interval(cap, cap, grants.gain_limit, closed=True))
        if interval.first < below:
            self.intervals.append(_Interval(interval.first, below - 1, grants.gain_limit))
        # Latencies above the cap gain no more than the right neighbour.
        if cap < interval.last and grants.gain < interval.gain_limit - self.options.tie:
            self.intervals.append(_Interval(cap + 1, interval.last, interval.gain_limit))
