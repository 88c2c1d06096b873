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
        for module in lora_modules(base):
            s = module_scaling(scaling, module.name)
            covariance_norm, change_norm = _norms(module, base, contributions, means)
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


def _norms(
    module: LoraModule, base: Adapter, contributions: Sequence[Contribution], means: dict[str, Matrix]
) -> tuple[float, float]:
    """``|C_m|_F`` of ``C_m = sum w (dB - mean dB)(dA - mean dA)``, and ``|sum w (B A - B0 A0)|_F``.

    The former equals ``sum w dB dA - (sum w dB)(sum w dA)`` as the weights sum to 1, without its cancellation; the
    latter is the norm of ``B0 mean dA + mean dB (A0 + mean dA) + C_m``. Both come from one pair of Gram matrices.
    """
    r, width = module.rank, (len(contributions) + 2) * module.rank
    left, right = np.empty((module.outputs, width)), np.empty((width, module.inputs))
    left[:, :r], right[:r] = base[module.b_name], means[module.a_name]
    left[:, r : 2 * r], right[r : 2 * r] = means[module.b_name], base[module.a_name] + means[module.a_name]
    for place, c in enumerate(contributions, start=2):
        own = slice(place * r, (place + 1) * r)
        np.subtract(c.delta[module.b_name], means[module.b_name], out=left[:, own])
        left[:, own] *= c.weight
        np.subtract(c.delta[module.a_name], means[module.a_name], out=right[own])
    products = (left.T @ left) * (right @ right.T)
    energies = float(products[2 * r :, 2 * r :].sum()), float(products.sum())
    return math.sqrt(max(energies[0], 0.0)), math.sqrt(max(energies[1], 0.0))
