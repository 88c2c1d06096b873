"""One ranking over all components, and the error curve of its prefixes (docs/algorithms.md, sections 2.4 and 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_client.soft.importance import (
    Energies,
    Importance,
    component_energies,
    product_norms,
    rounding_energies,
)
from protocol.adapters import Adapter, Scaling, absurd_value
from protocol.errors import DataError
from protocol.update.components import Components
from protocol.update.files import ENTRY_BYTES, header_bytes
from protocol.update.quantisation import QuantBits
from protocol.update.records import record_bytes

CurvePoint = tuple[int, float]
"""(size of the update in bits, header included; energy that stays unsent)."""


@dataclass(frozen=True)
class Ranking:
    """Components in the order in which they are sent; prefix j is the first j of them."""

    base: Adapter
    delta: Adapter
    components: Components
    quant_bits: QuantBits
    annotated: bool
    order: NDArray[np.int64]
    """Component numbers by falling importance per encoded bit; those that did not change are not in it."""
    gains: Energies
    """By which each of them lowers the unsent energy: its energy less its expected quantisation error."""
    file_bytes: NDArray[np.int64]
    """Size of the update file of prefix j = 0 ... n."""
    unsent: Energies
    """Unsent energy of prefix j = 0 ... n."""

    @property
    def total_energy(self) -> float:
        """Energy of the whole change."""
        return float(self.unsent[0])

    def best_prefix(self, budget_bits: int) -> int:
        """Prefix of at most ``budget_bits`` that leaves the least energy unsent; the longest among equals.

        It is the longest that fits, unless coarse quantisation makes the last components of it do harm.
        """
        fitting = int(np.searchsorted(8 * self.file_bytes, budget_bits, side="right"))
        if fitting == 0:
            return 0
        unsent = self.unsent[:fitting]
        return fitting - 1 - int(np.argmin(unsent[::-1]))


def rank(
    base: Adapter,
    delta: Adapter,
    *,
    scaling: Scaling,
    importance: Importance,
    kappa: float,
    quant_bits: QuantBits,
    a_frozen: bool = False,
    annotated: bool = False,
) -> Ranking:
    """Rank the components of ``delta`` by importance per encoded bit.

    ``a_frozen``: only columns of B are sent (freeze-a). ``annotated``: sizes are those of files with a table of
    energies (``airtune update``). Raises DataError if ``delta`` holds NaN, infinities or absurd values.
    """
    components = Components(base, a_frozen)
    _check(delta, components, a_frozen)
    energies = component_energies(components, base, delta, scaling, kappa)
    measure = energies
    if importance == "product-norm":
        measure = product_norms(components, base, delta, scaling, kappa)
    sizes = np.array([record_bytes(components, i, quant_bits) for i in range(len(components))], dtype=np.int64)
    order = _by_importance(components, delta, measure / sizes)
    errors = rounding_energies(components, base, delta, scaling, kappa, quant_bits)[order]
    ranked, steps = energies[order], sizes[order] + (ENTRY_BYTES if annotated else 0)
    # Summed from the far end, so that the last prefixes keep their small values.
    later = np.append(np.cumsum(ranked[::-1])[::-1], 0.0)
    return Ranking(
        base,
        delta,
        components,
        quant_bits,
        annotated,
        order,
        gains=ranked - errors,
        file_bytes=header_bytes(annotated) + np.append(0, np.cumsum(steps)),
        unsent=later + np.append(0.0, np.cumsum(errors)),
    )


def _check(delta: Adapter, components: Components, a_frozen: bool) -> None:
    problem = absurd_value(delta)
    if problem:
        raise DataError(f"local update: {problem}; the training diverged, lower training.learning_rate")
    if a_frozen and any(np.any(delta[module.a_name]) for module in components.modules):
        raise ValueError("freeze-a: A has changed")


def _by_importance(components: Components, delta: Adapter, per_byte: Energies) -> NDArray[np.int64]:
    """Numbers of the components that changed by falling importance per byte, equal ones in their own order."""
    changed = [i for i in range(len(components)) if any(np.any(part) for part in components.gather(delta, i))]
    return np.array(sorted(changed, key=lambda i: (-per_byte[i], i)), dtype=np.int64)


def error_curve(ranking: Ranking, points: int = 64) -> list[CurvePoint]:
    """At most ``points`` points (bits, unsent energy), the zero-bit one first, bits rising, energy falling.

    Encoding with one of these bits as budget sends exactly that prefix. Between the first and the last useful
    prefix the points are spread evenly.
    """
    lowest = np.minimum.accumulate(ranking.unsent)
    useful = np.flatnonzero(ranking.unsent[1:] < lowest[:-1]) + 1
    if len(useful) > points - 1:
        useful = useful[np.linspace(len(useful) - 1, 0, points - 1).round().astype(np.int64)[::-1]]
    later = [(8 * int(ranking.file_bytes[j]), float(ranking.unsent[j])) for j in useful]
    return [(0, ranking.total_energy), *later]
