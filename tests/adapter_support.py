"""Small adapters with real structure: unequal module shapes, a head with bias, a lone vector."""

import numpy as np

from edge_client.soft.compression import rank
from edge_client.soft.encoding import encode
from edge_client.soft.ranking import Change, Ranking
from protocol.adapters import Adapter, zeros_like

SHAPES = {"encoder.query": (9, 12), "encoder.value": (20, 5)}
"""Module: (d, k)."""


def random_base(seed: int = 0, rank: int = 4, b_scale: float = 0.3) -> Adapter:
    """An adapter in the middle of training (``b_scale = 0``: at its start)."""
    rng = np.random.default_rng(seed)
    base: Adapter = {}
    for name, (d, k) in SHAPES.items():
        base[f"{name}.lora_A.weight"] = rng.normal(size=(rank, k)).astype(np.float32)
        base[f"{name}.lora_B.weight"] = (b_scale * rng.normal(size=(d, rank))).astype(np.float32)
    base["classifier.weight"] = (b_scale * rng.normal(size=(5, 7))).astype(np.float32)
    base["classifier.bias"] = (b_scale * rng.normal(size=5)).astype(np.float32)
    base["norm.weight"] = rng.normal(size=6).astype(np.float32)
    return base


def random_change(base: Adapter, seed: int = 1, size: float = 0.1) -> Adapter:
    """A change of every value of ``base``, rank components of very different strength."""
    rng = np.random.default_rng(seed)
    delta = {n: (size * rng.normal(size=v.shape)).astype(np.float32) for n, v in base.items()}
    for name in delta:
        if ".lora_B" in name:
            delta[name] *= np.exp(rng.normal(size=delta[name].shape[1])).astype(np.float32)
    return delta


def b_only(delta: Adapter) -> Adapter:
    """``delta`` with its A part taken out (freeze-a)."""
    zero = zeros_like(delta)
    return {name: zero[name] if ".lora_A" in name else value for name, value in delta.items()}


def equal(left: Adapter, right: Adapter) -> bool:
    """Same names and the very same bits."""
    return left.keys() == right.keys() and all(left[n].tobytes() == right[n].tobytes() for n in left)


def ranked(base: Adapter, delta: Adapter, **options) -> Ranking:
    """Rank with the defaults of the tests: SOFT, s = 2, kappa = 1, 8 bits, a gradient drawn at random."""
    compression = options.pop("compression", "soft")
    defaults = {"scaling": 2.0, "kappa": 1.0, "quant_bits": 8, "gradient": random_change(base, 77)}
    return rank(compression, Change(base, delta, **{**defaults, **options}))


def encoded_file(base: Adapter, delta: Adapter, budget_bits: int = 10**6, seed: int = 0, **options) -> bytes:
    """An update file of ``delta``, by default of all of it."""
    return encode(ranked(base, delta, **options), budget_bits, np.random.default_rng(seed)).file
