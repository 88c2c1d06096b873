"""Changes of frozen weights that aggregation folds in (``exact-fold``), as both sides keep and send them.

Either the change of one round as low-rank factors, for those who have all earlier ones, or the sum of all rounds.
Source: ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import A_SUFFIX, B_SUFFIX, Adapter, adapter_from_bytes, adapter_to_bytes, lora_modules
from protocol.update.records import Products

Folded = dict[str, NDArray[np.float32]]
"""Module name to the sum of all changes of its frozen weight, (d, k)."""
FOLDED_SUFFIX = ".folded.weight"


def grown(folded: Folded, change: Products) -> Folded:
    """``folded`` after one more round."""
    later = dict(folded)
    for name, (left, right) in change.items():
        product = left @ right
        later[name] = folded[name] + product if name in folded else product
    return later


def with_folded(adapter: Adapter, folded: Folded) -> Adapter:
    """One mapping that holds both."""
    return {**adapter, **{name + FOLDED_SUFFIX: value for name, value in folded.items()}}


def split_folded(tensors: Adapter) -> tuple[Adapter, Folded]:
    """The inverse of ``with_folded``."""
    folded = {n.removesuffix(FOLDED_SUFFIX): v for n, v in tensors.items() if n.endswith(FOLDED_SUFFIX)}
    return {n: v for n, v in tensors.items() if not n.endswith(FOLDED_SUFFIX)}, folded


def change_to_bytes(change: Products) -> bytes:
    """A safetensors file of one round's change; no bytes if there is none."""
    factors = {name + B_SUFFIX: left for name, (left, _) in change.items()}
    factors |= {name + A_SUFFIX: right for name, (_, right) in change.items()}
    return adapter_to_bytes(factors) if factors else b""


def change_from_bytes(data: bytes) -> Products:
    """The inverse of ``change_to_bytes``. Raises DataError."""
    if not data:
        return {}
    factors, _ = adapter_from_bytes(data, "the plan's folded change")
    return {m.name: (factors[m.b_name], factors[m.a_name]) for m in lora_modules(factors)}
