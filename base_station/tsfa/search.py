"""The best grants under each latency model, ties broken by the largest latency and then by RBs (ours)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from base_station.tsfa.grants import Grants, Packer
from base_station.tsfa.options import just_above, just_below

MOST_UNPROVEN = 24
"""Latency caps whose grants are not proven the best, before the search of the ``round`` model stops."""


@dataclass(frozen=True)
class Answer:
    """The best grants found and what they save against silence; no others save more than ``saving_limit``.

    ``exact``: none save more, even where the limit, which is found apart, is larger.
    """

    grants: Grants
    saving: float
    saving_limit: float
    exact: bool


def search_per_client(packer: Packer) -> Answer:
    """Latencies are already priced into the gains: one packing, then the tie-break."""
    best = packer.best(math.inf)
    if not best.proven:
        return Answer(best, best.gain, best.gain_limit, exact=False)
    return Answer(_quickest(packer, best), best.gain, best.relaxed_gain, exact=True)


def _quickest(packer: Packer, best: Grants) -> Grants:
    """Of the grants that gain as much as ``best`` those of smallest largest latency.

    The largest gain under a latency cap falls with the cap, so the smallest cap that keeps it is found by
    bisection; usually the first step, just below what ``best`` takes, shows that there is no tie.
    """
    floor_s, needed = packer.options.floor_s, best.gain - packer.options.tie
    packer = best.nearby(needed)
    first_s, last_s = floor_s, packer.options.cap_at_most(just_below(best.largest_latency_s))
    cap_s = last_s
    while first_s <= last_s and best.largest_latency_s > floor_s:
        grants = packer.best(cap_s)
        if grants.gain >= needed:
            best = grants
            last_s = packer.options.cap_at_most(just_below(grants.largest_latency_s))
        else:
            first_s = packer.options.cap_at_least(just_above(cap_s))
        cap_s = (first_s + last_s) / 2
    return best


def search_round(packer: Packer, queue_s: float) -> Answer:
    """Minimise queue_s x L - gain(L) over the largest latency L: branch and bound on intervals of L."""
    options = packer.options
    # A latency that costs more than all energy is worth loses to silence, however absurd a rate made it.
    worth_s = (options.energy_total + options.tie) / queue_s if queue_s else math.inf
    last_s = options.cap_at_most(options.floor_s + worth_s)
    slack = options.tie + 1e-15 * queue_s * last_s
    search = _RoundSearch(queue_s, slack)
    search.run(packer, last_s)
    equal = [g for g in search.solved if search.value(g) <= search.best_value + slack]
    exact = search.bound >= search.best_value - 2 * slack
    silent = queue_s * options.floor_s
    saving = silent - search.best_value
    limit = saving if exact else silent - search.bound
    return Answer(min(equal, key=lambda g: g.largest_latency_s), saving, limit, exact)


@dataclass
class _Interval:
    """Largest latencies ``first_s`` to ``last_s``, under which no grants of interest gain more than the limit.

    ``nearby``: gives a packer of all grants in it of at least some gain.
    ``closed``: a single cap that was solved, but whose grants are not proven the best.
    """

    first_s: float
    last_s: float
    gain_limit: float
    nearby: Callable[[float], Packer]
    closed: bool = False


@dataclass
class _RoundSearch:
    """gain(L), the largest gain with no latency above L, is non-decreasing, so an interval whose
    right neighbour gains at most G and whose smallest latency is L is worth at least queue_s x L - G.
    """

    queue_s: float
    slack: float
    intervals: list[_Interval] = field(default_factory=list)
    """Where better grants may be."""
    solved: list[Grants] = field(default_factory=list)
    best_value: float = math.inf

    def run(self, packer: Packer, last_s: float) -> None:
        """Search until no interval can hold anything better, or too much stays unproven."""
        whole = _Interval(packer.options.floor_s, last_s, math.inf, lambda _: packer)
        self._solve(whole, packer, last_s)
        while sum(i.closed for i in self.intervals) < MOST_UNPROVEN:
            worst = min((i for i in self.intervals if not i.closed), key=self._least_value, default=None)
            if worst is None or self._least_value(worst) > self.best_value + self.slack:
                break
            self.intervals.remove(worst)
            self._split(worst)

    @property
    def bound(self) -> float:
        """No grants are worth less."""
        return min([self.best_value, *map(self._least_value, self.intervals)])

    def value(self, grants: Grants) -> float:
        """What is minimised."""
        return self.queue_s * grants.largest_latency_s - grants.gain

    def _least_value(self, interval: _Interval) -> float:
        return self.queue_s * interval.first_s - interval.gain_limit

    def _split(self, interval: _Interval) -> None:
        """Solve near the middle of what is left of the interval for grants that could be the best."""
        least_gain = self.queue_s * interval.first_s - self.best_value - self.slack
        packer = interval.nearby(least_gain)
        interval.first_s = packer.options.cap_at_least(interval.first_s)
        interval.last_s = packer.options.cap_at_most(interval.last_s)
        if interval.first_s <= interval.last_s:
            self._solve(interval, packer, (interval.first_s + interval.last_s) / 2, least_gain)

    def _solve(self, interval: _Interval, packer: Packer, cap_s: float, least_gain: float = -math.inf) -> None:
        """Split the interval at a cap, by the grants under it."""
        grants = packer.best(cap_s)
        self.solved.append(grants)
        self.best_value = min(self.best_value, self.value(grants))
        for other in self.intervals:
            if other.last_s < cap_s:
                other.gain_limit = min(other.gain_limit, max(grants.gain_limit, least_gain))
        # Between the latency reached and the cap nothing gains more.
        reached_s = grants.largest_latency_s
        if not grants.proven and grants.gain_limit >= least_gain:
            reached_s = packer.options.cap_at_most(cap_s)
            self.intervals.append(_Interval(reached_s, reached_s, grants.gain_limit, grants.nearby, closed=True))
        if interval.first_s <= just_below(reached_s) and grants.gain_limit >= least_gain:
            self.intervals.append(_Interval(interval.first_s, just_below(reached_s), grants.gain_limit, grants.nearby))
        # Latencies above the cap gain no more than the right neighbour.
        if just_above(cap_s) <= interval.last_s and grants.gain < interval.gain_limit - packer.options.tie:
            self.intervals.append(_Interval(just_above(cap_s), interval.last_s, interval.gain_limit, interval.nearby))
