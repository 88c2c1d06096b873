"""Norms and overlaps of low-rank products, from r x r Gram matrices (float64).

The d x k product of two factors is never formed. Source: textbook linear algebra.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, LoraModule, Scaling, lora_modules, module_scaling

Matrix = NDArray[np.float64]

NORM_FLOOR = 1e-6
"""Columns shorter than this share of the longest do not count in the overlap."""


def product_energy(left: Matrix, right: Matrix) -> float:
    """``|left right|_F^2`` of ``left`` (d, q) and ``right`` (q, k) in O(q^2 (d + k))."""
    return max(float(np.sum((left.T @ left) * (right @ right.T))), 0.0)


def exact_energy(base: Adapter, delta: Adapter, scaling: Scaling) -> float:
    """``sum over modules |s (B A - B0 A0)|_F^2`` with ``B = B0 + dB``, ``A = A0 + dA``.

    Written as ``[dB, B0] [A; dA]``, so that no large products are subtracted from each other.
    """
    total, stacks = 0.0, StackedChange(base, delta)
    for module in lora_modules(base):
        left, right = stacks.of(module)
        total += module_scaling(scaling, module.name) ** 2 * product_energy(left.T, right)
    return total


class StackedChange:
    """The rank components of one module's change after another, as rows; large arrays are used again for the next."""

    def __init__(self, base: Adapter, delta: Adapter) -> None:
        self._base = base
        self._delta = delta
        self._arrays: dict[tuple[str, int, int], Matrix] = {}

    def of(self, module: LoraModule) -> tuple[Matrix, Matrix]:
        """``[dB, B0]^T`` (2 r, d) and ``[A; dA]`` (2 r, k), float64; until the next call."""
        r, base, delta = module.rank, self._base, self._delta
        left, right = self._array("left", r, module.outputs), self._array("right", r, module.inputs)
        left[:r], left[r:] = delta[module.b_name].T, base[module.b_name].T
        right[:r], right[r:] = base[module.a_name], delta[module.a_name]
        right[:r] += right[r:]
        return left, right

    def _array(self, side: str, rank: int, width: int) -> Matrix:
        key = side, 2 * rank, width
        if key not in self._arrays:
            self._arrays[key] = np.empty(key[1:])
        return self._arrays[key]


def column_overlap(adapter: Adapter) -> tuple[float, float]:
    """(mean, worst) over all factors of the largest |cosine| between two rank components of a factor.

    Columns of B and rows of A count whose norm exceeds 1e-6 of the longest in their factor; a factor with fewer
    than two of them has overlap 0.
    """
    worst = []
    for module in lora_modules(adapter):
        worst.append(_largest_cosine(adapter[module.a_name].astype(np.float64)))
        worst.append(_largest_cosine(adapter[module.b_name].T.astype(np.float64)))
    return float(np.mean(worst)), float(np.max(worst))


def _largest_cosine(rows: Matrix) -> float:
    gram = rows @ rows.T
    norms = np.sqrt(np.diagonal(gram))
    long = np.flatnonzero(norms > NORM_FLOOR * norms.max())
    if len(long) < 2:
        return 0.0
    cosines = np.abs(gram[np.ix_(long, long)]) / np.outer(norms[long], norms[long])
    np.fill_diagonal(cosines, 0.0)
    return min(float(cosines.max()), 1.0)
