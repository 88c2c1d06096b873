"""Norms and overlaps of low-rank products, from r x r Gram matrices (float64).

The d x k product of two factors is never formed. Source: textbook linear algebra.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, Scaling, lora_modules, module_scaling

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
    total = 0.0
    for module in lora_modules(base):
        b0, a0 = base[module.b_name].astype(np.float64), base[module.a_name].astype(np.float64)
        db, da = delta[module.b_name].astype(np.float64), delta[module.a_name].astype(np.float64)
        energy = product_energy(np.hstack([db, b0]), np.vstack([a0 + da, da]))
        total += module_scaling(scaling, module.name) ** 2 * energy
    return total


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
