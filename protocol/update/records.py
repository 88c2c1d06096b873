"""Records: one unit of an update each: its number, then its body.

A *layout* cuts the LoRA part of a change into numbered units; rows of the head follow, the same in every layout.
Every record tells its own size, so that any stretch of a file can be read from a record's start. Source: ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, zeros_like
from protocol.errors import UpdateFileError
from protocol.schemes import LayoutName
from protocol.update.components import Components, Parts
from protocol.update.quantisation import Content, dequantise, encoded_bytes, quantised

Products = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""By module name: factors (d, q) and (q, k) of a change of ``B A``."""


@dataclass(frozen=True)
class DecodedUpdate:
    """What an update, or the part of it that arrived, changes."""

    delta: Adapter
    """Change of every tensor of the base; zero where nothing arrived."""
    components: tuple[int, ...]
    """Numbers of the units that were decoded, in the order of the file."""
    lora_values: int
    """LoRA values among them."""
    products: Products = field(default_factory=dict)
    """Further changes of the modules' products that no change of the factors expresses (singular triplets)."""


@dataclass
class Received:
    """A change while it is being read."""

    delta: Adapter
    products: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = field(default_factory=dict)
    """By module: columns (d,) and rows (k,) whose outer products are added."""


class Layout(ABC):
    """One way to number and write the LoRA part of a change on top of ``components.base``'s adapter."""

    name: ClassVar[LayoutName]

    def __init__(self, components: Components, quant_bits: int) -> None:
        self.components = components
        self.quant_bits = quant_bits

    @property
    @abstractmethod
    def lora_units(self) -> int:
        """Number of LoRA units."""

    @property
    @abstractmethod
    def lora_values(self) -> int:
        """LoRA values an update of every unit holds."""

    @abstractmethod
    def limit_bytes(self, unit: int) -> int:
        """Size of the largest body of LoRA unit ``unit``."""

    @abstractmethod
    def body_bytes(self, unit: int, data: Content, start: int) -> int | None:
        """Size of the body at ``start`` of ``data``; None if what tells it is cut off. Raises UpdateFileError."""

    @abstractmethod
    def read(self, unit: int, body: Content, into: Received) -> int:
        """Take one body in; the number of LoRA values in it. Raises UpdateFileError for what no encoder writes."""

    def __len__(self) -> int:
        return self.lora_units + len(self.components) - self.components.lora_count

    @cached_property
    def id_bytes(self) -> int:
        """Bytes that hold any unit's number."""
        return max(1, ((len(self) - 1).bit_length() + 7) // 8)

    @property
    def largest_bytes(self) -> int:
        """Size of the records of an update of everything, at most."""
        bodies = sum(self.limit_bytes(unit) for unit in range(self.lora_units))
        return len(self) * self.id_bytes + bodies + sum(self.head_bytes(unit) for unit in self.head_units())

    def head_units(self) -> Iterator[int]:
        """Numbers of the head rows."""
        return iter(range(self.lora_units, len(self)))

    def head_component(self, unit: int) -> int:
        """Number of a head row among the components."""
        return unit - self.lora_units + self.components.lora_count

    def head_bytes(self, unit: int) -> int:
        """Size of the body of a head row."""
        return encoded_bytes(self.components.part_sizes(self.head_component(unit)), self.quant_bits)

    def record(self, unit: int, *body: Content) -> bytes:
        """A record, its body in pieces."""
        return b"".join([unit.to_bytes(self.id_bytes, "little"), *body])

    def head_record(self, unit: int, delta: Adapter, rng: np.random.Generator) -> bytes:
        """Record of a head row; draws its rounding from ``rng``."""
        parts = self.components.gather(delta, self.head_component(unit))
        return self.record(unit, *quantised(parts, self.quant_bits, rng))


class ComponentLayout(Layout):
    """Rank components as they are: scales and codes of A's row and of B's column."""

    name = "components"

    @property
    def lora_units(self) -> int:
        """Rank components."""
        return self.components.lora_count

    @property
    def lora_values(self) -> int:
        """Values of all factors that are sent."""
        return self.components.lora_values

    def limit_bytes(self, unit: int) -> int:
        """Always the same size."""
        return encoded_bytes(self.components.part_sizes(unit), self.quant_bits)

    def body_bytes(self, unit: int, data: Content, start: int) -> int | None:
        """Always the same size."""
        return self.limit_bytes(unit)

    def read(self, unit: int, body: Content, into: Received) -> int:
        """Write the values in their places."""
        sizes = self.components.part_sizes(unit)
        self.components.scatter(into.delta, unit, dequantise(body, sizes, self.quant_bits))
        return sum(sizes)

    def write(self, unit: int, parts: Parts, rng: np.random.Generator) -> bytes:
        """Record of a rank component; draws its rounding from ``rng``."""
        return self.record(unit, *quantised(parts, self.quant_bits, rng))


@dataclass
class RecordReader:
    """Decodes records into a change of ``base``; refuses what no encoder writes."""

    base: Adapter
    layout: Layout
    _into: Received = field(init=False)
    _seen: dict[int, None] = field(init=False, default_factory=dict)
    _lora_values: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._into = Received(zeros_like(self.base))

    def size_at(self, data: Content, start: int) -> int | None:
        """Size of the record at ``start``; None if what tells it is cut off. UpdateFileError for a false number."""
        body = start + self.layout.id_bytes
        if body > len(data):
            return None
        unit = int.from_bytes(data[start:body], "little")
        if unit >= len(self.layout):
            raise UpdateFileError(f"update: component {unit} does not exist; the base has {len(self.layout)}")
        if unit >= self.layout.lora_units:
            return self.layout.id_bytes + self.layout.head_bytes(unit)
        size = self.layout.body_bytes(unit, data, body)
        return None if size is None else self.layout.id_bytes + size

    def read(self, record: Content) -> None:
        """Decode one whole record. UpdateFileError for a unit seen before and for absurd values."""
        width, layout = self.layout.id_bytes, self.layout
        unit, body = int.from_bytes(record[:width], "little"), record[width:]
        if unit in self._seen:
            raise UpdateFileError(f"update: component {unit} appears twice")
        if unit < layout.lora_units:
            self._lora_values += layout.read(unit, body, self._into)
        else:
            component = layout.head_component(unit)
            parts = dequantise(body, layout.components.part_sizes(component), layout.quant_bits)
            layout.components.scatter(self._into.delta, component, parts)
        self._seen[unit] = None

    def decoded(self) -> DecodedUpdate:
        """Everything read so far."""
        products = {
            name: (np.stack([left for left, _ in pairs], axis=1), np.stack([right for _, right in pairs]))
            for name, pairs in self._into.products.items()
        }
        return DecodedUpdate(self._into.delta, tuple(self._seen), self._lora_values, products)
