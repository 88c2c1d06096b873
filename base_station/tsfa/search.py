"""The best grants under each latency model, ties broken by the largest latency and then by RBs (ours)."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.knapsack import pack
from base_station.tsfa.options import SAME_LATENCY, Options


@dataclass(frozen=True)
class Grants:
    """RBs (0: silent) and curve point of each client, (N,) each, what they gain and the largest latency."""

    rb_count: NDArray[np.int64]
    point: NDArray[np.int64]
    gain: float
    largest_latency_s: float


def best_grants(options: Options, guard_rb: int, rb_total: int, cap_s: float) -> Grants:
    """The grants of largest gain, of those the fewest RBs, with no latency above ``cap_s``."""
    units, point = options.within(cap_s)
    counts = pack(units, guard_rb, rb_total)
    active = np.flatnonzero(counts)
    chosen = np.zeros(len(counts), np.int64)
    chosen[active] = point[active, counts[active] - 1]
    at = (active, counts[active] - 1, chosen[active])
    latency = float(options.latency_s[at].max(initial=options.floor_s))
    return Grants(counts, chosen, float(options.gain[at].sum()), latency)


def search_per_client(options: Options, guard_rb: int, rb_total: int) -> Grants:
    """Latencies are already priced into the gains: one knapsack, then the tie-break.

    The largest gain under a latency cap falls with the cap, so the smallest cap that keeps it is
    found by bisection; usually the first step shows that there is no tie.
    """
    best = best_grants(options, guard_rb, rb_total, np.inf)
    if best.largest_latency_s <= options.floor_s:
        return best
    needed = best.gain - options.tie
    lower = best_grants(options, guard_rb, rb_total, best.largest_latency_s * (1 - SAME_LATENCY))
    if lower.gain < needed:
        return best
    caps = options.caps_s()
    low, high = -1, int(np.searchsorted(caps, lower.largest_latency_s))
    best = lower
    while high - low > 1:
        middle = (low + high) // 2
        grants = best_grants(options, guard_rb, rb_total, float(caps[middle]))
        if grants.gain >= needed:
            best, high = grants, int(np.searchsorted(caps, grants.largest_latency_s))
        else:
            low = middle
    return best


def search_round(options: Options, guard_rb: int, rb_total: int, queue_s: float) -> Grants:
    """Minimise queue_s x L - gain(L) over the largest latency L: branch and bound on intervals of L.

    gain(L), the largest gain with no latency above L, is non-decreasing, so an interval whose
    right neighbour gains G and whose smallest latency is L is worth at least queue_s x L - G.
    """
    caps = _worthwhile_caps_s(options, queue_s)
    slack = options.tie + 1e-15 * queue_s * float(caps[-1])
    best = best_grants(options, guard_rb, rb_total, float(caps[-1]))
    best_value = queue_s * best.largest_latency_s - best.gain
    solved = [best]
    open_intervals: list[tuple[float, int, int, float]] = []

    def push(first: int, last: int, gain_limit: float) -> None:
        if first <= last:
            heapq.heappush(open_intervals, (queue_s * float(caps[first]) - gain_limit, first, last, gain_limit))

    push(0, int(np.searchsorted(caps, best.largest_latency_s)) - 1, best.gain)
    while open_intervals:
        bound, first, last, gain_limit = heapq.heappop(open_intervals)
        if bound > best_value + slack:
            break
        middle = (first + last) // 2
        grants = best_grants(options, guard_rb, rb_total, float(caps[middle]))
        solved.append(grants)
        best_value = min(best_value, queue_s * grants.largest_latency_s - grants.gain)
        # Between the latency reached and the cap nothing gains more, nor does a latency above it
        # when the right neighbour gains no more.
        push(first, int(np.searchsorted(caps, grants.largest_latency_s)) - 1, grants.gain)
        if grants.gain < gain_limit - options.tie:
            push(middle + 1, last, gain_limit)
    equal = [g for g in solved if queue_s * g.largest_latency_s - g.gain <= best_value + slack]
    return min(equal, key=lambda g: g.largest_latency_s)


def _worthwhile_caps_s(options: Options, queue_s: float) -> NDArray[np.float64]:
    # A latency that costs more than all energy is worth loses to silence, however absurd a rate made it.
    caps = options.caps_s()
    return caps[queue_s * (caps - options.floor_s) <= options.energy_total + options.tie]
