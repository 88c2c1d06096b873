"""Energy and importance of components, float64, in forms that do not cancel (docs/algorithms.md, section 2.3).

Energies are in weight space: what the change of one component does to its module's ``s B A``, Frobenius norm
squared. Head rows count ``kappa |delta|^2``. Source: ours; the norm-product idea is [P1]'s, the first-order Taylor
term as importance is that of pruning (Molchanov et al., 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, LoraModule, Scaling, module_scaling
from protocol.factors import Matrix, StackedChange, product_energy
from protocol.update.components import Components
from protocol.update.quantisation import rounding_variance

Importance = Literal["update-energy", "product-norm", "taylor"]
Energies = NDArray[np.float64]


@dataclass(frozen=True)
class UpdateEnergies:
    """What an update (or a residual) amounts to."""

    lora: float
    """Sum over rank components of their own energies."""
    head: float
    """Squared norm of the head's change, without kappa."""
    exact: float
    """Energy of the LoRA change with the cross terms between components."""
    ranks: Energies = field(compare=False)
    """Energy of every rank component; they add up to ``lora``."""


def update_energies(base: Adapter, delta: Adapter, scaling: Scaling) -> UpdateEnergies:
    """Energies of ``delta`` on top of ``base``."""
    components = Components(base)
    ranks, exact, stacks = [], 0.0, StackedChange(base, delta)
    for module in components.modules:
        left, right = stacks.of(module)
        s = module_scaling(scaling, module.name)
        ranks.append(_module_energies(left, right, s))
        exact += s**2 * product_energy(left.T, right)
    head = float(head_energies(components, delta, kappa=1.0).sum())
    additive = np.concatenate(ranks)
    return UpdateEnergies(float(additive.sum()), head, exact, additive)


def additive_energy(base: Adapter, delta: Adapter, scaling: Scaling, kappa: float) -> float:
    """Energy of ``delta`` as the error curve counts it: LoRA without cross terms, and ``kappa`` times head."""
    components = Components(base)
    lora = float(_rank_energies(components, base, delta, scaling).sum())
    return lora + kappa * float(head_energies(components, delta, kappa=1.0).sum())


def head_scale(lora_energy: float, head_energy: float) -> float:
    """``kappa`` that makes the head's energy weigh as much as LoRA's; 1 if either is zero."""
    return lora_energy / head_energy if lora_energy > 0.0 and head_energy > 0.0 else 1.0


def component_energies(
    components: Components, base: Adapter, delta: Adapter, scaling: Scaling, kappa: float, ranks: Energies | None = None
) -> Energies:
    """Energy of every component's change: ``s^2 |b a - b0 a0|_F^2`` or ``kappa |delta row|^2``.

    ``ranks``: those of the rank components (``UpdateEnergies.ranks``), where they are known.
    """
    if ranks is None:
        ranks = _rank_energies(components, base, delta, scaling)
    return np.concatenate([ranks, head_energies(components, delta, kappa)])


def product_norms(components: Components, base: Adapter, delta: Adapter, scaling: Scaling, kappa: float) -> Energies:
    """``s^2 |b|^2 |a|^2`` of the changed factors; head rows by their energy."""
    norms = []
    for module in components.modules:
        b_square, a_square = _changed_squares(module, base, delta)
        norms.append(module_scaling(scaling, module.name) ** 2 * b_square * a_square)
    return np.concatenate([*norms, head_energies(components, delta, kappa)])


def taylor_gains(components: Components, gradient: Adapter, delta: Adapter) -> Energies:
    """By how much each component's change lowers the loss to first order, ``max(-<gradient, delta>, 0)``, nats."""
    rises = []
    for module in components.modules:
        b, a = module.b_name, module.a_name
        in_b = _dots(_float64(gradient, b).T, _float64(delta, b).T)
        rises.append(in_b + _dots(_float64(gradient, a), _float64(delta, a)))
    heads = [(head.rows_of(gradient), head.rows_of(delta)) for head in components.heads]
    rises += [_dots(slope.astype(np.float64), change.astype(np.float64)) for slope, change in heads]
    gains: Energies = np.maximum(-np.concatenate([*rises, np.empty(0)]), 0.0)
    return gains


def rounding_energies(
    components: Components, base: Adapter, delta: Adapter, scaling: Scaling, kappa: float, quant_bits: int
) -> Energies:
    """Expected energy that stochastic rounding leaves behind in each component if it is sent.

    With independent zero-mean errors eb, ea: ``s^2 (E|eb|^2 |a|^2 + |b|^2 E|ea|^2 + E|eb|^2 E|ea|^2)``, exact.
    """
    if quant_bits == 32:
        return np.zeros(len(components))
    left = []
    for module in components.modules:
        b_error = rounding_variance(delta[module.b_name].T, 32 if components.frozen == "b" else quant_bits)
        a_error = rounding_variance(delta[module.a_name], 32 if components.frozen == "a" else quant_bits)
        b_square, a_square = _changed_squares(module, base, delta)
        error = b_error * a_square + b_square * a_error + b_error * a_error
        left.append(module_scaling(scaling, module.name) ** 2 * error)
    return np.concatenate([*left, head_rounding_energies(components, delta, kappa, quant_bits)])


def head_energies(components: Components, delta: Adapter, kappa: float) -> Energies:
    """``kappa |delta row|^2`` of every head row."""
    rows = [kappa * _squares(head.rows_of(delta).astype(np.float64)) for head in components.heads]
    return np.concatenate([*rows, np.empty(0)])


def head_rounding_energies(components: Components, delta: Adapter, kappa: float, quant_bits: int) -> Energies:
    """Expected energy that stochastic rounding leaves behind in each head row if it is sent."""
    rows = [kappa * rounding_variance(head.rows_of(delta), quant_bits) for head in components.heads]
    return np.concatenate([*rows, np.empty(0)])


def _rank_energies(components: Components, base: Adapter, delta: Adapter, scaling: Scaling) -> Energies:
    stacks = StackedChange(base, delta)
    return np.concatenate(
        [_module_energies(*stacks.of(m), module_scaling(scaling, m.name)) for m in components.modules]
    )  # fmt: skip


def _module_energies(left: Matrix, right: Matrix, s: float) -> Energies:
    """Of each rank component, from ``stacked_change``."""
    r = len(left) // 2
    db, b0, a, da = left[:r], left[r:], right[:r], right[r:]
    energy = _squares(db) * _squares(a) + _squares(b0) * _squares(da) + 2.0 * _dots(db, b0) * _dots(a, da)
    energies: Energies = s**2 * np.maximum(energy, 0.0)
    return energies


def _float64(adapter: Adapter, name: str) -> NDArray[np.float64]:
    return adapter[name].astype(np.float64)


def _dots(left: NDArray[np.float64], right: NDArray[np.float64]) -> Energies:
    """Row by row. Not through BLAS: the result must not depend on its threads when a round is replayed."""
    product: Energies = np.sum(np.ascontiguousarray(left * right), axis=1)
    return product


def _squares(rows: NDArray[np.float64]) -> Energies:
    return _dots(rows, rows)


def _changed_squares(module: LoraModule, base: Adapter, delta: Adapter) -> tuple[Energies, Energies]:
    """(|b|^2, |a|^2) per rank component of the changed factors."""
    b = _float64(base, module.b_name) + _float64(delta, module.b_name)
    a = _float64(base, module.a_name) + _float64(delta, module.a_name)
    return _squares(b.T), _squares(a)
