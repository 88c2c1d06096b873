"""A measured value and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct


class Quantity(Struct, frozen=True, forbid_unknown_fields=True):
    """A value and its uncertainty, one standard deviation, both in one unit (which the name of the field says)."""

    value: float
    uncertainty: float

    def __str__(self) -> str:
        digits = 0 if self.uncertainty <= 0.0 else max(0, min(6, 1 - math.floor(math.log10(self.uncertainty))))
        return f"{self.value:.{digits}f} ± {self.uncertainty:.{digits}f}"

    def plus(self, *others: Quantity) -> Quantity:
        """Sum of independent quantities."""
        everything = (self, *others)
        return Quantity(sum(q.value for q in everything), root_sum_square(q.uncertainty for q in everything))

    def minus(self, other: Quantity) -> Quantity:
        """Difference of independent quantities."""
        return self.plus(other.times(-1.0))

    def times(self, factor: float) -> Quantity:
        """A multiple."""
        return Quantity(self.value * factor, self.uncertainty * abs(factor))


def root_sum_square(uncertainties: Iterable[float]) -> float:
    """Uncertainty of a sum of independent quantities."""
    return math.sqrt(sum(u * u for u in uncertainties))


def mean_of(quantities: Sequence[Quantity]) -> Quantity:
    """Mean of repeated readings; its uncertainty by what each says or by how they scatter, whichever is larger."""
    count = len(quantities)
    mean = sum(q.value for q in quantities) / count
    said = root_sum_square(q.uncertainty for q in quantities) / count
    if count < 3:
        return Quantity(mean, said)
    scatter = math.sqrt(sum((q.value - mean) ** 2 for q in quantities) / (count - 1) / count)
    return Quantity(mean, max(said, scatter))
