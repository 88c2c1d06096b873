"""How far the rank components of an adapter overlap: cosines between columns of B and rows of A."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.adapter import FACTOR_A, Adapter, is_lora

NEGLIGIBLE_NORM = 1e-6
"""Vectors shorter than this share of a factor's longest are left out: their direction means nothing."""


@dataclass(frozen=True)
class Overlap:
    """Largest absolute cosine within a factor: its mean and its worst over all factors."""

    mean: float
    worst: float


def column_overlap(adapter: Adapter) -> Overlap:
    """Overlap of the LoRA factors of ``adapter``; zeros where no factor has two columns to compare.

    Definition: ALGORITHMS section 2.1 (ours).
    """
    worst = [
        _largest_cosine(tensor if name.endswith(FACTOR_A) else tensor.T)
        for name, tensor in adapter.items()
        if is_lora(name)
    ]
    if not worst:
        return Overlap(0.0, 0.0)
    return Overlap(float(np.mean(worst)), float(np.max(worst)))


def _largest_cosine(rows: NDArray[np.float32]) -> float:
    """Largest |cosine| between two rows of (r, n), in float64."""
    vectors = rows.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    kept = norms > NEGLIGIBLE_NORM * norms.max(initial=0.0)
    if np.count_nonzero(kept) < 2:
        return 0.0
    unit = vectors[kept] / norms[kept, None]
    cosines = np.abs(unit @ unit.T)
    np.fill_diagonal(cosines, 0.0)
    return float(min(cosines.max(), 1.0))
