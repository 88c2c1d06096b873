"""Adapters: LoRA factors and fully trained head tensors, by the names peft saves them under.

An adapter is a mapping from tensor name to float32 array. ``<module>.lora_A.weight`` (r, k) and
``<module>.lora_B.weight`` (d, r) belong together: the module's weight changes by ``s B A``, ``s = alpha / r``.
Every other tensor is *head*: trained whole, a weight (out, in) with its bias (out).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from protocol.errors import DataError
from protocol.schemes import Frozen

Adapter = dict[str, NDArray[np.float32]]
"""Tensor name to float32 array."""
Scaling = float | Mapping[str, float]
"""``s = alpha / r``: one number, or one per module name."""

A_SUFFIX = ".lora_A.weight"
B_SUFFIX = ".lora_B.weight"
DIGEST_BYTES = 8
_FLOATS = {"F16": "<f2", "F64": "<f8"}
_HEADER_ALIGNMENT = 8
VALUE_LIMIT = 1e4
"""No weight or change of a weight may exceed this; a larger one is a diverged training or an attack."""


@dataclass(frozen=True)
class LoraModule:
    """One adapted module: the names and sizes of its two factors."""

    name: str
    rank: int
    inputs: int
    """k, columns of A."""
    outputs: int
    """d, rows of B."""

    @property
    def a_name(self) -> str:
        """Name of A (r, k)."""
        return self.name + A_SUFFIX

    @property
    def b_name(self) -> str:
        """Name of B (d, r)."""
        return self.name + B_SUFFIX


def lora_modules(adapter: Adapter, origin: str = "adapter") -> list[LoraModule]:
    """Pair the factors of ``adapter``, sorted by module name.

    Raises DataError naming ``origin`` if there are none, one lacks its partner, or their ranks differ.
    """
    stems = {n.removesuffix(A_SUFFIX) for n in adapter if n.endswith(A_SUFFIX)}
    stems |= {n.removesuffix(B_SUFFIX) for n in adapter if n.endswith(B_SUFFIX)}
    if not stems:
        raise DataError(f"{origin}: no LoRA tensors (names ending in {A_SUFFIX} and {B_SUFFIX}); is it an adapter?")
    return [_paired(adapter, stem, origin) for stem in sorted(stems)]


def _paired(adapter: Adapter, stem: str, origin: str) -> LoraModule:
    a, b = adapter.get(stem + A_SUFFIX), adapter.get(stem + B_SUFFIX)
    if a is None or b is None:
        missing = (A_SUFFIX if a is None else B_SUFFIX).removeprefix(".")
        raise DataError(f"{origin}: module '{stem}' has no {missing}")
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or 0 in (*a.shape, *b.shape):
        raise DataError(f"{origin}: module '{stem}' has A {a.shape} and B {b.shape}; expected (r, k) and (d, r)")
    return LoraModule(stem, rank=a.shape[0], inputs=a.shape[1], outputs=b.shape[0])


def is_lora(name: str) -> bool:
    """Whether a tensor of this name is a LoRA factor (else it is head)."""
    return name.endswith((A_SUFFIX, B_SUFFIX))


def is_factor(name: str, factor: Frozen) -> bool:
    """Whether a tensor of this name is a LoRA factor of this kind."""
    return name.endswith({"a": A_SUFFIX, "b": B_SUFFIX}[factor]) if factor != "none" else False


def module_scaling(scaling: Scaling, module: str) -> float:
    """``s`` of one module."""
    return float(scaling[module] if isinstance(scaling, Mapping) else scaling)


def adapter_digest(adapter: Adapter) -> bytes:
    """8 bytes that name this adapter: BLAKE2b over names, shapes and float32 values, sorted by name."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name in sorted(adapter):
        digest.update(json.dumps([name, list(adapter[name].shape)]).encode())
        digest.update(np.ascontiguousarray(adapter[name], dtype="<f4").reshape(-1).data)
    return digest.digest()


def dense_bits(adapter: Adapter, quant_bits: int) -> int:
    """Bits of a plain update of every value at ``quant_bits``, with one float32 scale a tensor below 32 bits."""
    scales = 0 if quant_bits == 32 else 32 * len(adapter)
    return scales + quant_bits * sum(value.size for value in adapter.values())


def zeros_like(adapter: Adapter) -> Adapter:
    """An all-zero change with the names and shapes of ``adapter``."""
    return {name: np.zeros(value.shape, dtype=np.float32) for name, value in adapter.items()}


def add(base: Adapter, delta: Adapter) -> Adapter:
    """``base + delta``, tensor by tensor, in float32."""
    return {name: value + delta[name] for name, value in base.items()}


def shape_mismatch(base: Adapter, other: Adapter) -> str | None:
    """Say in a few words how the tensors of ``other`` differ in name or shape from ``base``; None if they do not."""
    for name in sorted(base.keys() | other.keys()):
        if name not in other:
            return f"tensor '{name}' is missing"
        if name not in base:
            return f"tensor '{name}' is not in the base"
        if base[name].shape != other[name].shape:
            return f"tensor '{name}' is {other[name].shape}, in the base {base[name].shape}"
    return None


def sound(values: NDArray[np.float32]) -> bool:
    """Whether no value is NaN, infinite or beyond VALUE_LIMIT."""
    # One NaN makes both ends NaN, for which every comparison is false.
    return values.size == 0 or (float(values.min()) >= -VALUE_LIMIT and float(values.max()) <= VALUE_LIMIT)


def absurd_value(adapter: Adapter) -> str | None:
    """Name the first tensor with a NaN, an infinity or a value beyond VALUE_LIMIT; None if all are sound."""
    for name in sorted(adapter):
        if not sound(adapter[name]):
            return f"tensor '{name}' holds NaN, infinity or a value beyond {VALUE_LIMIT:g}"
    return None


def adapter_to_bytes(adapter: Adapter, metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file (float32) of ``adapter``: byte for byte what the library writes, copied once."""
    tensors = {name: np.ascontiguousarray(adapter[name], dtype="<f4") for name in sorted(adapter)}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, value in tensors.items():
        begin, end = end, end + value.nbytes
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER_ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *(value.data for value in tensors.values())])


def adapter_from_bytes(data: bytes, origin: str = "adapter") -> tuple[Adapter, dict[str, str]]:
    """Tensors and metadata of a safetensors file; float16, bfloat16 and float64 become float32.

    Raises DataError naming ``origin`` if it is not such a file or holds NaN, infinities or absurd values.
    """
    try:
        tensors = safetensors.deserialize(data)
    except Exception as error:  # the parser's own exception type is not public in every version
        raise DataError(f"{origin}: not a safetensors file: {error}") from error
    adapter = {name: _float32(name, view, origin) for name, view in tensors}
    problem = absurd_value(adapter)
    if problem:
        raise DataError(f"{origin}: {problem}")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return adapter, dict(header.get("__metadata__") or {})


def read_adapter(path: Path) -> tuple[Adapter, dict[str, str]]:
    """``adapter_from_bytes`` of a file; DataError if it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return adapter_from_bytes(data, str(path))


def _float32(name: str, view: Mapping[str, Any], origin: str) -> NDArray[np.float32]:
    kind, raw = view["dtype"], view["data"]
    if kind == "F32":  # the parser's own copy, which is ours alone
        return np.frombuffer(raw, dtype="<f4").reshape(view["shape"])
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(raw, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _FLOATS:
        with np.errstate(over="ignore"):  # an overflow becomes infinity, which the caller refuses
            values = np.frombuffer(raw, dtype=_FLOATS[kind]).astype(np.float32)
    else:
        raise DataError(f"{origin}: tensor '{name}' is {kind}; expected F32, F16 or BF16")
    return values.reshape(view["shape"])
