"""Weighted means of the factors' changes: ``separate``; ``freeze-a``, ``alternate``: one factor stands still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from base_station.aggregation.interface import Aggregate, Contribution, changed, check_contributions, mean_changes
from protocol.adapters import Adapter, LoraModule, Scaling, lora_modules, module_scaling
from protocol.errors import ProtocolError
from protocol.factors import product_energy

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
            norm = s * _covariance_norm(module, contributions, means)
            bias, energy = bias + norm, energy + norm**2
            change += s * _mean_change_norm(module, base, contributions, means)
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


def _covariance_norm(module: LoraModule, contributions: Sequence[Contribution], means: dict[str, Matrix]) -> float:
    """``|C_m|_F`` of ``C_m = sum w (dB - mean dB)(dA - mean dA)``.

    Equal to ``sum w dB dA - (sum w dB)(sum w dA)`` as the weights sum to 1, and without its cancellation.
    """
    left = [c.weight * (c.delta[module.b_name] - means[module.b_name]) for c in contributions]
    right = [c.delta[module.a_name] - means[module.a_name] for c in contributions]
    return float(np.sqrt(product_energy(np.hstack(left), np.vstack(right))))


def _mean_change_norm(
    module: LoraModule, base: Adapter, contributions: Sequence[Contribution], means: dict[str, Matrix]
) -> float:
    """``|sum w (B A - B0 A0)|_F = |B0 mean dA + mean dB A0 + sum w dB dA|_F``."""
    b0, a0 = base[module.b_name].astype(np.float64), base[module.a_name].astype(np.float64)
    left = [b0, means[module.b_name], *(c.weight * c.delta[module.b_name].astype(np.float64) for c in contributions)]
    right = [means[module.a_name], a0, *(c.delta[module.a_name].astype(np.float64) for c in contributions)]
    return float(np.sqrt(product_energy(np.hstack(left), np.vstack(right))))
