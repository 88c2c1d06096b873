"""What every aggregation takes and gives, and the checks that come first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, Scaling, absurd_value, is_lora, shape_mismatch
from protocol.errors import ProtocolError
from protocol.update.records import Products


@dataclass(frozen=True)
class Contribution:
    """What one ready client delivered. One that delivered nothing takes part with an all-zero change."""

    client: str
    weight: float
    """Its samples over the samples of all ready clients."""
    delta: Adapter
    """Decoded change on top of the adapter it started from."""
    base: Adapter | None = None
    """That adapter, if it is not the global one (another rank; ``exact`` only)."""
    scaling: Scaling | None = None
    """Its alpha / r, if it is not the global one (``exact`` only)."""
    products: Products = field(default_factory=dict)
    """Further changes of its ``B A``, by module (``exact`` only)."""


@dataclass(frozen=True)
class Aggregate:
    """The next global adapter and what aggregation did to the mean of the clients' products."""

    adapter: Adapter
    covariance: float = 0.0
    """``sum over modules |s C_m|_F``: the bias of averaging factors instead of products."""
    covariance_energy: float = 0.0
    """``sum over modules |s C_m|_F^2``."""
    covariance_relative: float = 0.0
    """Over the same sum for the true mean change."""
    dropped_energy: float = 0.0
    """Energy of the mean product that rank r could not hold and nobody keeps."""
    folded: Products = field(default_factory=dict)
    """What the frozen weights of everybody change by, by module: ``U V``, s included (``exact-fold`` only)."""


class Aggregator(Protocol):
    """A rule that makes the next global adapter."""

    def aggregate(self, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling) -> Aggregate:
        """Next global adapter from ``base`` and every ready client's contribution.

        Weights sum to 1 and are never renormalised per component. With no contribution ``base`` comes back.
        Raises ProtocolError naming the client whose contribution does not fit or holds NaN, infinities or
        absurd values.
        """


def check_contributions(base: Adapter, contributions: Sequence[Contribution], same_shapes: bool = True) -> None:
    """Refuse what no honest client delivers; ``same_shapes``: nobody may start from another adapter."""
    total = math.fsum(c.weight for c in contributions)
    if contributions and (abs(total - 1.0) > 1e-6 or any(c.weight < 0.0 for c in contributions)):
        raise ValueError(f"the weights of the ready clients sum to {total}, not to 1")
    for contribution in contributions:
        if same_shapes and (contribution.base or contribution.scaling is not None or contribution.products):
            raise ProtocolError(
                f"client '{contribution.client}': other ranks or alphas and singular triplets need an exact aggregation"
            )
        problem = shape_mismatch(contribution.base or base, contribution.delta) or absurd_value(contribution.delta)
        if problem:
            raise ProtocolError(f"client '{contribution.client}': its update is refused: {problem}")


def mean_changes(names: Sequence[str], contributions: Sequence[Contribution]) -> dict[str, NDArray[np.float64]]:
    """Weighted means of the delivered changes of these tensors, float64."""
    return {name: sum_weighted([(c.weight, c.delta[name]) for c in contributions]) for name in names}


def sum_weighted(terms: Sequence[tuple[float, NDArray[np.float32]]]) -> NDArray[np.float64]:
    """``sum w x`` in float64, in the order given."""
    total = np.zeros(terms[0][1].shape)
    term = np.empty_like(total)
    for weight, value in terms:
        np.multiply(value, weight, out=term, dtype=np.float64)
        total += term
    return total


def changed(base: Adapter, changes: dict[str, NDArray[np.float64]]) -> Adapter:
    """``base`` plus ``changes`` (names that are missing do not change), float32."""
    return {
        name: (value + changes[name]).astype(np.float32) if name in changes else value.copy()
        for name, value in base.items()
    }


def head_names(base: Adapter) -> list[str]:
    """Names of the fully trained tensors."""
    return [name for name in base if not is_lora(name)]
