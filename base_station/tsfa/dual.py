"""A price on every RB: it lets each client decide alone, and bounds what any grants can gain (textbook).

With a price mu >= 0 on the RBs of a grant and its guard, sum_n max_j (units_nj - mu size_nj)^+ + mu capacity is at
least the sum of any grants that fit, for any mu. It is convex in mu; its least value is that of the linear relaxation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENT = -1
"""Choice of a client that takes nothing."""

STEPS = 60
"""At most; about ten are needed."""

BISECT_EVERY = 4
"""Steps of which one halves the interval: against tangents that creep."""

EXCLUDED = 2**60
"""Loss of an item that cannot be taken: larger than any bound."""


@dataclass(frozen=True)
class Items:
    """What each of R clients could take: at most one of J items, all within the capacity.

    ``size`` (R, J): RBs, guard included.   ``units`` (R, J): what the item gains, at most 2^58 in all.
    Items without gain or larger than the capacity count as none: ``units`` 0.
    """

    size: NDArray[np.int64]
    units: NDArray[np.int64]
    capacity: int


@dataclass(frozen=True)
class Dual:
    """What the best price says.

    ``bound``: no items that fit sum to more units.
    ``choice`` (R,): items, or SILENT, that fit together, as the clients would take them at about this price.
    ``loss`` (R, J): how much lower the bound is if a client takes an item;  ``silence`` (R,): if it takes none.
    """

    price: int
    bound: int
    choice: NDArray[np.int64]
    loss: NDArray[np.int64]
    silence: NDArray[np.int64]


@dataclass(frozen=True)
class _Tangent:
    """A line below the bound; ``value`` at ``price``. The slope is what the choice leaves of the capacity."""

    price: float
    value: float
    slope: int
    choice: NDArray[np.int64]


def best_price(items: Items) -> Dual:
    """The price of the smallest bound, where the highest tangents from both sides cross (cutting planes, textbook)."""
    low, high = _tangents(items)
    price = round(_crossing(low, high))
    net = items.units - price * items.size
    silence = net.max(axis=1, initial=0)
    return Dual(
        price=price,
        bound=int(silence.sum()) + price * items.capacity,
        choice=low.choice if low.slope >= 0 else high.choice,
        loss=np.where(items.units > 0, silence[:, None] - net, EXCLUDED),
        silence=silence,
    )


def _tangents(items: Items) -> tuple[_Tangent, _Tangent]:
    """Lines of negative slope, if there is one, and of another slope that cross where the bound is smallest."""
    units, size = items.units.astype(np.float64), items.size.astype(np.float64)
    low = _tangent(items, units, size, 0.0)
    # With nobody sending the bound is the price of the whole band; at this price that is the bound at price 0.
    dear = low.value / items.capacity if items.capacity else 0.0
    high = _Tangent(dear, low.value, items.capacity, np.full(len(units), SILENT))
    for step in range(1, STEPS + 1):
        price = (low.price + high.price) / 2 if step % BISECT_EVERY == 0 else _crossing(low, high)
        if low.slope >= 0 or not low.price < price < high.price:
            break
        middle = _tangent(items, units, size, price)
        low, high = (middle, high) if middle.slope < 0 else (low, middle)
    return low, high


def _tangent(items: Items, units: NDArray[np.float64], size: NDArray[np.float64], price: float) -> _Tangent:
    net = units - price * size
    item = net.argmax(axis=1)
    rows = np.arange(len(net))
    best = net[rows, item]
    active = best > 0.0
    wanted = int(items.size[rows, item][active].sum())
    value = float(best[active].sum()) + price * items.capacity
    return _Tangent(price, value, items.capacity - wanted, np.where(active, item, SILENT))


def _crossing(low: _Tangent, high: _Tangent) -> float:
    if low.slope >= 0:
        return low.price
    width = high.price - low.price
    step = (low.value - high.value + high.slope * width) / (high.slope - low.slope)
    return low.price + min(max(step, 0.0), width)
