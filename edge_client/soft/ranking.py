"""What every compression scheme gives: prefixes of an update, their sizes, and what each leaves unsent.

The error curve (docs/algorithms.md, section 2.6) is drawn from it, and an update is encoded from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_client.soft.importance import Energies, Importance
from protocol.adapters import Adapter, Scaling
from protocol.schemes import Frozen
from protocol.update.files import ENTRY_BYTES, header_bytes
from protocol.update.quantisation import QuantBits
from protocol.update.records import Layout

CurvePoint = tuple[int, float]
"""(size of the update in bits, header included; energy that stays unsent)."""


@dataclass(frozen=True)
class Change:
    """What is to be sent, and how it is counted."""

    base: Adapter
    delta: Adapter
    """Change of every tensor of ``base``; zero in the frozen factor."""
    scaling: Scaling
    kappa: float
    """Energy of a head value's squared change."""
    quant_bits: QuantBits
    frozen: Frozen = "none"
    annotated: bool = False
    """Sizes are those of files with a table of energies (``airtune update``)."""
    importance: Importance = "update-energy"
    """What ``soft`` ranks by."""
    order_seed: int = 0
    """Decides the order of ``random-components``."""
    rank_energies: Energies | None = None
    """Of every rank component's change (``UpdateEnergies.ranks``), where they are known."""
    gradient: Adapter | None = None
    """Mean gradient of local training, which ``taylor`` ranks by."""


@dataclass(frozen=True)
class RankedRecord:
    """One record of an encoded prefix."""

    data: bytes
    gain: float
    """By which it lowers the unsent energy (its quantisation error taken off)."""
    lora_values: int


@dataclass(frozen=True)
class Ranking(ABC):
    """Prefixes 0 ... n of an update, each holding the values of those before it; prefix 0 is a header alone."""

    change: Change
    layout: Layout
    file_bytes: NDArray[np.int64]
    """Size of the update file of each prefix, rising."""
    unsent: Energies
    """Energy each prefix leaves unsent, expected quantisation error included."""

    @property
    def total_energy(self) -> float:
        """Energy of the whole change."""
        return float(self.unsent[0])

    @abstractmethod
    def records(self, prefix: int, rng: np.random.Generator) -> list[RankedRecord]:
        """Records of a prefix, the most useful first; draws their rounding from ``rng``."""

    def best_prefix(self, budget_bits: int) -> int:
        """Prefix of at most ``budget_bits`` that leaves the least energy unsent; the longest among equals.

        It is the longest that fits, unless coarse quantisation makes the last values of it do harm.
        """
        fitting = int(np.searchsorted(8 * self.file_bytes, budget_bits, side="right"))
        if fitting == 0:
            return 0
        unsent = self.unsent[:fitting]
        return fitting - 1 - int(np.argmin(unsent[::-1]))


@dataclass(frozen=True)
class UnitRanking(Ranking):
    """Whole units in an order; prefix j is the first ``counts[j]`` of them."""

    order: NDArray[np.int64]
    """Numbers of the units, the most useful first."""
    gains: Energies
    """By which each of them lowers the unsent energy: its energy less its expected quantisation error."""
    counts: NDArray[np.int64]
    write: Callable[[int, np.random.Generator], tuple[bytes, int]]
    """Record of a unit, and the LoRA values in it."""

    def records(self, prefix: int, rng: np.random.Generator) -> list[RankedRecord]:
        """See ``Ranking``. Equal generators give equal codes for what two prefixes have in common."""
        sent = range(int(self.counts[prefix]))
        return [RankedRecord(*self._written(j, rng)) for j in sent]

    def _written(self, position: int, rng: np.random.Generator) -> tuple[bytes, float, int]:
        data, values = self.write(int(self.order[position]), rng)
        return data, float(self.gains[position]), values


def rank_units(
    change: Change,
    layout: Layout,
    order: NDArray[np.int64],
    energies: Energies,
    errors: Energies,
    write: Callable[[int, np.random.Generator], tuple[bytes, int]],
    *,
    all_or_nothing: bool = False,
) -> UnitRanking:
    """Ranking of whole units by number: ``energies`` and expected quantisation ``errors`` of each, sent in ``order``.

    The energies add up. ``all_or_nothing`` leaves no prefix but the empty and the whole one.
    """
    sizes = unit_bytes(layout) + (ENTRY_BYTES if change.annotated else 0)
    ranked, lost = energies[order], errors[order]
    # Summed from the far end, so that the last prefixes keep their small values.
    later = np.append(np.cumsum(ranked[::-1])[::-1], 0.0)
    file_bytes = header_bytes(change.annotated) + np.append(0, np.cumsum(sizes[order]))
    unsent = later + np.append(0.0, np.cumsum(lost))
    counts = np.arange(len(order) + 1)
    if all_or_nothing and len(order) > 1:
        counts = counts[[0, -1]]
    return UnitRanking(change, layout, file_bytes[counts], unsent[counts], order, ranked - lost, counts, write)


def unit_bytes(layout: Layout) -> NDArray[np.int64]:
    """Size of every unit's record, for layouts whose records have one size."""
    bodies = [layout.limit_bytes(unit) for unit in range(layout.lora_units)]
    heads = [layout.head_bytes(unit) for unit in layout.head_units()]
    return layout.id_bytes + np.array([*bodies, *heads], dtype=np.int64)


def by_falling(measure: Energies, units: NDArray[np.int64]) -> NDArray[np.int64]:
    """``units`` by falling ``measure`` (of every unit), equal ones in their own order."""
    return units[np.argsort(-measure[units], kind="stable")]


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
