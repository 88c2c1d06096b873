"""Lagrangian relaxation of "each client at most once": an upper bound on what placed grants can gain (textbook).

With a price on every client's grants, anybody may be granted any number of times, and the best spans follow from
dynamic programming over the position alone. For any prices >= 0 that best plus the sum of the prices is at least
the sum of the best allowed spans. Arrays are those of ``spans``, as floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa import kernels

ROUNDING = 2.0**-42
"""What float sums may be wrong, relative; less than the tie that ``Options`` counts as equal."""


@dataclass(frozen=True)
class Relaxation:
    """The best spans of ``units`` (N, K, K) at some ``prices`` (N,)."""

    units: NDArray[np.float64]
    prices: NDArray[np.float64]
    guard_rb: int

    @cached_property
    def best(self) -> NDArray[np.float64]:
        """What the client that gains most from a span gains, (K, K)."""
        return kernels.best_gains(self.units, self.prices)

    @cached_property
    def before(self) -> NDArray[np.float64]:
        """Largest sum in the first p RBs, (K + g + 1,)."""
        return kernels.span_sums_before(self.best, self.guard_rb)

    @cached_property
    def behind(self) -> NDArray[np.float64]:
        """Largest sum from position p on, (K + g + 1,)."""
        return kernels.span_sums_behind(self.best, self.guard_rb)

    @cached_property
    def bound(self) -> float:
        """No allowed spans sum to more; float rounding is allowed for."""
        return float(self.before[-1] + self.prices.sum()) * (1 + ROUNDING)

    def through(self) -> NDArray[np.float64]:
        """No allowed spans sum to more if this client has that span, (N, K, K)."""
        rb_total = len(self.best)
        around = self.before[:rb_total] + self.behind[1 + self.guard_rb :, None]
        through: NDArray[np.float64] = self.units - self.prices[:, None, None] + (around + self.prices.sum())
        through += ROUNDING * self.bound
        return through

    def uses(self) -> NDArray[np.int64]:
        """How often each client is granted, (N,)."""
        return kernels.span_uses(self.units, self.prices, self.best, self.before, self.guard_rb)

    def order(self) -> list[int]:
        """The clients along the band, each where it fits best."""
        last, first = np.divmod(self.through().reshape(len(self.prices), -1).argmax(axis=1), len(self.best))
        order: list[int] = np.argsort(first + last, kind="stable").tolist()
        return order
