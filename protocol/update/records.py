"""Records: one component each, in order of rank: its number, its scales, its codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from protocol.adapters import Adapter, zeros_like
from protocol.errors import UpdateFileError
from protocol.update.components import Components, Parts
from protocol.update.quantisation import dequantise, encoded_bytes, quantise


def record_bytes(components: Components, index: int, quant_bits: int) -> int:
    """Size of the record of component ``index``."""
    return components.id_bytes + encoded_bytes(components.part_sizes(index), quant_bits)


def write_record(components: Components, index: int, parts: Parts, quant_bits: int, rng: np.random.Generator) -> bytes:
    """One record; draws its rounding from ``rng``."""
    return index.to_bytes(components.id_bytes, "little") + quantise(parts, quant_bits, rng)


@dataclass(frozen=True)
class DecodedUpdate:
    """What an update, or the part of it that arrived, changes."""

    delta: Adapter
    """Change of every tensor of the base; zero where nothing arrived."""
    components: tuple[int, ...]
    """Numbers of the components that were decoded, in order of rank."""
    lora_values: int
    """LoRA values among them."""


@dataclass
class RecordReader:
    """Decodes records into a change of ``base``; refuses what no encoder writes."""

    base: Adapter
    components: Components
    quant_bits: int
    _delta: Adapter = field(init=False)
    _seen: dict[int, None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._delta = zeros_like(self.base)

    def size_at(self, data: bytes, start: int) -> int | None:
        """Size of the record at ``start``; None if its number is cut off. UpdateFileError for a false number."""
        end = start + self.components.id_bytes
        if end > len(data):
            return None
        index = int.from_bytes(data[start:end], "little")
        if index >= len(self.components):
            raise UpdateFileError(f"update: component {index} does not exist; the base has {len(self.components)}")
        return record_bytes(self.components, index, self.quant_bits)

    def read(self, record: bytes) -> None:
        """Decode one whole record. UpdateFileError for a component seen before and for absurd values."""
        width = self.components.id_bytes
        index = int.from_bytes(record[:width], "little")
        if index in self._seen:
            raise UpdateFileError(f"update: component {index} appears twice")
        parts = dequantise(record[width:], self.components.part_sizes(index), self.quant_bits)
        self.components.scatter(self._delta, index, parts)
        self._seen[index] = None

    def decoded(self) -> DecodedUpdate:
        """Everything read so far."""
        lora: Sequence[int] = [i for i in self._seen if i < self.components.lora_count]
        values = sum(sum(self.components.part_sizes(i)) for i in lora)
        return DecodedUpdate(self._delta, tuple(self._seen), values)
