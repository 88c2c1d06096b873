"""Weighted means of the factors' changes: ``separate``; ``freeze-a``, ``alternate``: one factor stands still."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from base_station.aggregation.interface import Aggregate, Contribution, changed, check_contributions, mean_changes
from protocol.adapters import Adapter, LoraModule, Scaling, lora_modules, module_scaling
from protocol.errors import ProtocolError

Matrix = NDArray[np.float64]


class SeparateAggregator:
    """A and B averaged apart; reports the covariance this leaves out (docs/algorithms.md, section 3)."""

    def aggregate(self, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling) -> Aggregate:
        """See ``Aggregator``. Needs equal ranks and alphas."""
        check_contributions(base, contributions)
        if not contributions:
            return Aggregate({name: value.copy() for name, value in base.items()})
        means = mean_changes(list(base), contributions)
        bias = energy = change = 0.0
        stacks = _Stacks(len(contributions))
        for module in lora_modules(base):
            s = module_scaling(scaling, module.name)
            covariance_norm, change_norm = stacks.norms(module, base, contributions, means)
            bias, energy = bias + s * covariance_norm, energy + (s * covariance_norm) ** 2
            change += s * change_norm
        return Aggregate(changed(base, means), bias, energy, bias / change if change > 0.0 else 0.0)


class FreezeAAggregator(SeparateAggregator):
    """B averaged, A as it was: the mean of products is exact (FFA-LoRA)."""

    def aggregate(self, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling) -> Aggregate:
        """See ``Aggregator``. ProtocolError naming a client that changed A."""
        for contribution in contributions:
            for module in lora_modules(base):
                if np.any(contribution.delta.get(module.a_name, 0.0)):
                    raise ProtocolError(f"client '{contribution.client}': changed '{module.a_name}', which is frozen")
        return super().aggregate(base, contributions, scaling)


class AlternateAggregator(SeparateAggregator):
    """A averaged in one round, B in the next: the mean of products is exact (the defining step of RoLoRA)."""

    def aggregate(self, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling) -> Aggregate:
        """See ``Aggregator``. ProtocolError naming a client that changed the factor the others did not."""
        moved: set[str] = set()
        for contribution in contributions:
            for module in lora_modules(base):
                moved |= {n for n in ("a", "b") if np.any(contribution.delta.get(getattr(module, f"{n}_name"), 0.0))}
            if len(moved) > 1:
                raise ProtocolError(f"client '{contribution.client}': A and B are changed in turns, not in one round")
        return super().aggregate(base, contributions, scaling)


class _Stacks:
    """Norms of what becomes of a module's product; the large arrays are used again for the next module."""

    def __init__(self, contributions: int) -> None:
        self._factors = contributions + 2
        self._arrays: dict[tuple[str, int, int], Matrix] = {}

    def norms(
        self, module: LoraModule, base: Adapter, contributions: Sequence[Contribution], means: dict[str, Matrix]
    ) -> tuple[float, float]:
        """``|C_m|_F`` of ``C_m = sum w (dB - mean dB)(dA - mean dA)``, and ``|sum w (B A - B0 A0)|_F``.

        The former equals ``sum w dB dA - (sum w dB)(sum w dA)`` as the weights sum to 1, without its cancellation;
        the latter is the norm of ``B0 mean dA + mean dB (A0 + mean dA) + C_m``. Both come from one pair of Gram
        matrices.
        """
        r, b_mean, a_mean = module.rank, means[module.b_name], means[module.a_name]
        left, right = self._array("left", r, module.outputs), self._array("right", r, module.inputs)
        left[:r], right[:r] = base[module.b_name].T, a_mean
        left[r : 2 * r], right[r : 2 * r] = b_mean.T, base[module.a_name] + a_mean
        for place, c in enumerate(contributions, start=2):
            own = slice(place * r, (place + 1) * r)
            left[own], right[own] = c.delta[module.b_name].T, c.delta[module.a_name]
            left[own] -= left[r : 2 * r]
            left[own] *= c.weight
            right[own] -= right[:r]
        products = (left @ left.T) * (right @ right.T)
        energies = float(products[2 * r :, 2 * r :].sum()), float(products.sum())
        return math.sqrt(max(energies[0], 0.0)), math.sqrt(max(energies[1], 0.0))

    def _array(self, side: str, rank: int, width: int) -> Matrix:
        """Rows for rank components of all factors, of ``width`` values each."""
        key = side, self._factors * rank, width
        if key not in self._arrays:
            self._arrays[key] = np.empty(key[1:])
        return self._arrays[key]
