"""The true mean of the clients' products, cut to the best rank r (docs/algorithms.md, section 3).

What rank r cannot hold is dropped (``exact-drop``) or put into everybody's frozen weights (``exact-fold``; cf.
FedEx-LoRA, which does so with the rest of the separate means).

Source: ours, of textbook parts (thin QR, SVD of a small core, orthogonal Procrustes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_station.aggregation.interface import (
    Aggregate,
    Contribution,
    changed,
    check_contributions,
    head_names,
    mean_changes,
)
from protocol.adapters import (
    B_SUFFIX,
    Adapter,
    LoraModule,
    Scaling,
    absurd_value,
    is_lora,
    lora_modules,
    module_scaling,
)
from protocol.errors import ProtocolError
from protocol.factors import product_energy

Matrix = NDArray[np.float64]
RANK_TOLERANCE = 1e-7
"""Singular values below this share of the largest are rounding of the float32 factors."""


@dataclass(frozen=True)
class ExactAggregator:
    """Best rank-r approximation of ``sum w s B A``; ranks and alphas of the clients may differ."""

    fold: bool

    def aggregate(self, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling) -> Aggregate:
        """See ``Aggregator``. Modules that nobody changed keep their factors."""
        check_contributions(base, contributions, same_shapes=False)
        for contribution in contributions:
            _check_products(base, contribution)
        if not contributions:
            return Aggregate({name: value.copy() for name, value in base.items()})
        adapter = changed(base, mean_changes(head_names(base), contributions))
        dropped, folded = 0.0, {}
        for module in lora_modules(base):
            if not any(_differs(module, c) for c in contributions):
                continue
            left, right = _stacks(module, base, contributions, scaling)
            b0, a0 = base[module.b_name].astype(np.float64), base[module.a_name].astype(np.float64)
            b, a, rest = best_factors(left, right, module_scaling(scaling, module.name), b0, a0)
            adapter[module.b_name], adapter[module.a_name] = b.astype(np.float32), a.astype(np.float32)
            if not self.fold:
                dropped += product_energy(*rest)
            elif rest[0].shape[1]:
                folded[module.name] = rest[0].astype(np.float32), rest[1].astype(np.float32)
        return Aggregate(adapter, dropped_energy=dropped, folded=folded)


def best_factors(
    left: Matrix, right: Matrix, s: float, b0: Matrix, a0: Matrix
) -> tuple[Matrix, Matrix, tuple[Matrix, Matrix]]:
    """Factors ``(B, A)`` with ``s B A`` the best approximation of ``left right`` at the rank of ``a0``.

    They are balanced (equal norms) and turned towards ``b0``, ``a0``. Directions the product does not use keep
    rows of ``a0`` with a zero column of B, so that they can be trained. Third: factors of what was cut off.
    """
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right.T)
    u, values, vt = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
    rank = len(a0)
    found = int(np.sum(values > RANK_TOLERANCE * values[0]))
    used = min(rank, found)
    root = np.sqrt(values[:used] / s)
    b = np.zeros_like(b0)
    b[:, :used] = q_left @ u[:, :used] * root
    basis = vt[:used] @ q_right.T
    a = np.vstack([root[:, None] * basis, _unused_rows(a0, basis, rank - used)])
    turn = _procrustes(b, a, b0, a0)
    rest = (q_left @ u[:, used:found]) * values[used:found], vt[used:found] @ q_right.T
    return b @ turn, turn.T @ a, rest


def _unused_rows(a0: Matrix, basis: Matrix, count: int) -> Matrix:
    """The ``count`` strongest directions of ``a0`` outside the rows of ``basis``, (count, k)."""
    outside = a0 - (a0 @ basis.T) @ basis
    _, values, vt = np.linalg.svd(outside, full_matrices=False)
    rows: Matrix = np.zeros((count, a0.shape[1]))
    found = min(count, len(values))
    rows[:found] = values[:found, None] * vt[:found]
    return rows


def _procrustes(b: Matrix, a: Matrix, b0: Matrix, a0: Matrix) -> Matrix:
    """Orthogonal R with least ``|B R - B0|^2 + |R^T A - A0|^2``."""
    x, _, zt = np.linalg.svd(b.T @ b0 + a @ a0.T)
    turn: Matrix = x @ zt
    return turn


def _stacks(
    module: LoraModule, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling
) -> tuple[Matrix, Matrix]:
    """``[w s B ...]`` (d, sum of ranks) and ``[A; ...]`` (sum of ranks, k) of what the clients ended with."""
    left, right = [], []
    for contribution in contributions:
        start = contribution.base or base
        s = module_scaling(contribution.scaling or scaling, module.name)
        b = start[module.b_name].astype(np.float64) + contribution.delta[module.b_name]
        left.append(contribution.weight * s * b)
        right.append(start[module.a_name].astype(np.float64) + contribution.delta[module.a_name])
        if module.name in contribution.products:
            u, v = contribution.products[module.name]
            left.append(contribution.weight * s * u.astype(np.float64))
            right.append(v.astype(np.float64))
    return np.hstack(left), np.vstack(right)


def _differs(module: LoraModule, contribution: Contribution) -> bool:
    names = (module.a_name, module.b_name)
    moved = contribution.base is not None or module.name in contribution.products
    return moved or any(np.any(contribution.delta[name]) for name in names)


def _check_products(base: Adapter, contribution: Contribution) -> None:
    """Raise ProtocolError unless the client's products and head have the sizes of the global adapter's."""
    start = contribution.base or base
    fits = start.keys() == base.keys() and all(
        _outer_size(name, start[name].shape) == _outer_size(name, base[name].shape) for name in base
    )
    if not fits:
        raise ProtocolError(f"client '{contribution.client}': its adapter does not fit the global one's modules")
    problem = absurd_value({f"{n}.{i}": v for n, both in contribution.products.items() for i, v in enumerate(both)})
    if problem:
        raise ProtocolError(f"client '{contribution.client}': its update is refused: {problem}")


def _outer_size(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape without the rank."""
    if not is_lora(name):
        return shape
    return shape[:1] if name.endswith(B_SUFFIX) else shape[1:]
