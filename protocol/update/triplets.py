"""Singular triplets: the layout of updates that send the change of each module's product ``B A``.

A unit is one triplet, its singular value shared between both vectors: a left part and a right part whose outer
product is added to ``B A``. With a frozen factor the change lies in that factor's span, so its side is sent as r
coordinates and the triplet is a change of the other factor. Source: ours.
"""

from __future__ import annotations

import numpy as np

from protocol.adapters import VALUE_LIMIT, LoraModule
from protocol.errors import UpdateFileError
from protocol.update.components import Components, Parts
from protocol.update.quantisation import Content, dequantise, encoded_bytes, quantised
from protocol.update.records import Layout, Received

PART_LIMIT = 100.0
"""No value of a part may exceed this: one triplet then moves no weight by more than ``VALUE_LIMIT``."""


class TripletLayout(Layout):
    """Up to 2 r triplets a module (r with a frozen factor)."""

    name = "triplets"

    def __init__(self, components: Components, quant_bits: int) -> None:
        super().__init__(components, quant_bits)
        self._modules = [m for m in components.modules for _ in range(triplets_of(m, components))]
        self.first: dict[str, int] = {}
        """First triplet of each module."""
        for unit, module in enumerate(self._modules):
            self.first.setdefault(module.name, unit)

    @property
    def lora_units(self) -> int:
        """Triplets."""
        return len(self._modules)

    @property
    def lora_values(self) -> int:
        """Values of all triplets there can be."""
        return sum(sum(self.part_sizes(unit)) for unit in range(self.lora_units))

    def part_sizes(self, unit: int) -> tuple[int, int]:
        """Sizes of the left and the right part."""
        module, frozen = self._modules[unit], self.components.frozen
        left = module.rank if frozen == "b" else module.outputs
        return left, module.rank if frozen == "a" else module.inputs

    def limit_bytes(self, unit: int) -> int:
        """Always the same size."""
        return encoded_bytes(self.part_sizes(unit), self.quant_bits)

    def body_bytes(self, unit: int, data: Content, start: int) -> int | None:
        """Always the same size."""
        return self.limit_bytes(unit)

    def read(self, unit: int, body: Content, into: Received) -> int:
        """Add the triplet to the trained factor, or to the product if both are trained."""
        left, right = dequantise(body, self.part_sizes(unit), self.quant_bits)
        if max(np.max(np.abs(left)), np.max(np.abs(right))) > 1.001 * PART_LIMIT:
            raise UpdateFileError("update: a singular triplet holds an absurd value")
        module = self._modules[unit]
        if self.components.frozen == "none":
            into.products.setdefault(module.name, []).append((left, right))
        else:
            name = module.b_name if self.components.frozen == "a" else module.a_name
            into.delta[name] += np.outer(left, right)
            if np.max(np.abs(into.delta[name])) > 1.001 * VALUE_LIMIT:
                raise UpdateFileError("update: the singular triplets add up to an absurd change")
        return left.size + right.size

    def write(self, unit: int, parts: Parts, rng: np.random.Generator) -> bytes:
        """Record of a triplet; draws its rounding from ``rng``."""
        return self.record(unit, *quantised(parts, self.quant_bits, rng))


def triplets_of(module: LoraModule, components: Components) -> int:
    """Largest rank the change of a module's product can have."""
    rank = module.rank if components.frozen != "none" else 2 * module.rank
    return min(rank, module.inputs, module.outputs)
