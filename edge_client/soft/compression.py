"""The compression schemes by their name in ``soft.compression`` (docs/algorithms.md, section 6).

Each turns a change into a ``Ranking``; encoding, error curve, residual and the wire format's header are the same
for all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_client.soft.ranking import Change, Ranking
from edge_client.soft.single_values import rank_factor_magnitude, rank_magnitude
from edge_client.soft.singular import rank_svd
from edge_client.soft.whole_components import rank_dense, rank_random, rank_soft
from protocol.adapters import Adapter, absurd_value, is_factor
from protocol.errors import DataError
from protocol.schemes import Compression, Frozen

Compressor = Callable[[Change], Ranking]
COMPRESSORS: dict[Compression, Compressor] = {
    "soft": rank_soft,
    "dense": rank_dense,
    "random-components": rank_random,
    "magnitude-top-k": rank_magnitude,
    "factor-top-k": rank_factor_magnitude,
    "svd": rank_svd,
}


def rank(compression: Compression, change: Change) -> Ranking:
    """Rank ``change`` by a scheme. Raises DataError if it holds NaN, infinities or absurd values."""
    problem = absurd_value(change.delta)
    if problem:
        raise DataError(f"local update: {problem}; the training diverged, lower training.learning_rate")
    if any(np.any(change.delta[name]) for name in change.delta if is_factor(name, change.frozen)):
        raise ValueError(f"factor {change.frozen} is frozen, but it has changed")
    return COMPRESSORS[compression](change)


def sendable(delta: Adapter, frozen: Frozen) -> Adapter:
    """``delta`` without the frozen factor's part, which stays in the residual until that factor's turn."""
    return {name: np.zeros_like(value) if is_factor(name, frozen) else value for name, value in delta.items()}
