"""Multiple-choice knapsack over resource blocks, exact by dynamic programming, and its Lagrangian bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.packing import SILENT, Packing

OUT_OF_BAND = -(2**61)
"""Value of a band of negative width: lower than any sum of gains."""

BISECTIONS = 60


def pack(units: NDArray[np.int64], guard_rb: int, rb_total: int) -> NDArray[np.int64]:
    """RBs of each client, (N,), that maximise the sum of ``units`` (N, K) in the band; 0 is silence.

    A grant of k RBs takes k + guard_rb of rb_total + guard_rb, which leaves a guard between any two.
    ``best[c]`` after client n: the largest sum of clients 0..n in a band of c.
    """
    capacity = rb_total + guard_rb
    sizes = [_worthwhile(row, guard_rb, capacity) for row in units]
    best = np.zeros((len(units) + 1, capacity + 1), np.int64)
    for n, size in enumerate(sizes):
        best[n + 1] = best[n]
        if size.size:
            padded = np.concatenate([np.full(capacity, OUT_OF_BAND, np.int64), best[n]])
            shifted = np.lib.stride_tricks.sliding_window_view(padded, capacity + 1)[capacity - size]
            with_grant = (shifted + units[n, size - guard_rb - 1][:, None]).max(axis=0)
            np.maximum(best[n], with_grant, out=best[n + 1])
    return _trace_back(best, units, sizes, guard_rb)


def pack_side_by_side(units: NDArray[np.int64], guard_rb: int, rb_total: int) -> Packing:
    """Packer where only the number of RBs counts, k of them at ``units[:, k - 1]``: grants lie in input order."""
    counts = pack(units, guard_rb, rb_total)
    sizes = np.where(counts > 0, counts + guard_rb, 0)
    rb_start = np.where(counts > 0, np.cumsum(sizes) - sizes, 0)
    active = np.flatnonzero(counts)
    total = int(units[active, counts[active] - 1].sum())
    return Packing(np.where(counts > 0, counts - 1, SILENT), rb_start, total)


def _worthwhile(row: NDArray[np.int64], guard_rb: int, capacity: int) -> NDArray[np.int64]:
    """Sizes (guard included) of the grants that gain more than silence and every smaller grant."""
    fitting = row[: max(capacity - guard_rb, 0)]
    before = np.maximum.accumulate(np.append(0, fitting))[:-1]
    sizes: NDArray[np.int64] = np.flatnonzero(fitting > before) + 1 + guard_rb
    return sizes


def _trace_back(
    best: NDArray[np.int64], units: NDArray[np.int64], sizes: list[NDArray[np.int64]], guard_rb: int
) -> NDArray[np.int64]:
    counts = np.zeros(len(units), np.int64)
    left = best.shape[1] - 1
    for n in range(len(units) - 1, -1, -1):
        if best[n + 1, left] == best[n, left]:
            continue
        size = sizes[n][sizes[n] <= left]
        sums = best[n, left - size] + units[n, size - guard_rb - 1]
        chosen = int(size[np.flatnonzero(sums == best[n + 1, left])[0]])
        counts[n] = chosen - guard_rb
        left -= chosen
    return counts


def largest_gain(gain: NDArray[np.float64], guard_rb: int, rb_total: int) -> float:
    """Upper bound on the sum of ``gain`` (N, K) that fits the band.

    With a price mu >= 0 on every RB of a grant and its guard, each client is on its own:
    sum_n max_k (gain_n[k] - mu (k + g))^+ + mu (K + g) bounds the sum from above for any mu.
    It is convex in mu; bisection on its slope finds the smallest.
    """
    sizes = np.arange(1, gain.shape[1] + 1) + guard_rb
    capacity = rb_total + guard_rb
    smallest, wanted = _relaxed(gain, sizes, capacity, 0.0)
    if wanted <= capacity:
        return smallest
    low, high = 0.0, float((gain / sizes).max())
    for _ in range(BISECTIONS):
        price = (low + high) / 2
        value, wanted = _relaxed(gain, sizes, capacity, price)
        smallest = min(smallest, value)
        low, high = (price, high) if wanted > capacity else (low, price)
    return smallest


def _relaxed(gain: NDArray[np.float64], sizes: NDArray[np.int64], capacity: int, price: float) -> tuple[float, int]:
    """The bound at one price, and the band that all clients together then want."""
    net = gain - price * sizes
    best = net.max(axis=1, initial=0.0)
    active = best > 0.0
    wanted = int(sizes[net[active].argmax(axis=1)].sum()) if active.any() else 0
    return float(best.sum()) + price * capacity, wanted
