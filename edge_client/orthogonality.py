"""The orthogonality term of SOFT: rank components that do not overlap, at any length.

For each LoRA factor with Gram matrix G (r, r) of its r vectors, the term adds
|offdiag(G)|^2 / mean(diag G)^2 with the divisor taken as a constant. The weight thus means the same for short
and long factors and no norm is drawn to a fixed value. Definition: docs/algorithms.md, section 2.1 (ours).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

SMALLEST_DIVISOR = 1e-12
"""Floor of mean(diag G)^2: B starts at zero, where the term and its gradient are zero."""


def orthogonality_term(factors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Half the sum over ``factors``, each (r, n) with the vectors to compare as rows; a scalar.

    Cost O(r^2 n) per factor; the full d x k product is never formed.
    """
    terms = [_overlap_of(rows) for rows in factors]
    return 0.5 * torch.stack(terms).sum()


def _overlap_of(rows: torch.Tensor) -> torch.Tensor:
    gram = rows @ rows.T
    diagonal = torch.diagonal(gram)
    divisor = diagonal.detach().mean().square().clamp_min(SMALLEST_DIVISOR)
    return (gram.square().sum() - diagonal.square().sum()) / divisor
