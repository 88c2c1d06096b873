"""Components: the smallest parts of an adapter's change that are sent or kept.

A rank component is column i of a module's B with row i of its A; a head component is one output row of a head
weight with its bias entry. Both sides number them alike from the base adapter: modules by name, each from rank 0,
then head tensors by name, each from row 0. Source: ours (docs/algorithms.md, sections 1 and 2.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, LoraModule, is_lora, lora_modules
from protocol.errors import DataError
from protocol.schemes import Frozen

Item = TypeVar("Item")
Parts = tuple[NDArray[np.float32], ...]
"""Values of one component, cut where the quantiser starts a new scale: those of A's row, B's column or the head row."""


@dataclass(frozen=True)
class HeadTensor:
    """A head weight with its bias, or a vector that stands alone (one row)."""

    weight_name: str
    bias_name: str | None
    rows: int
    columns: int

    def rows_of(self, adapter: Adapter) -> NDArray[np.float32]:
        """(rows, columns) copy of the tensor, the bias as its last column."""
        weight = adapter[self.weight_name].reshape(self.rows, -1)
        if self.bias_name is None:
            return weight.copy()
        return np.hstack([weight, adapter[self.bias_name][:, None]])


Group = LoraModule | HeadTensor


def head_tensors(adapter: Adapter, origin: str = "adapter") -> list[HeadTensor]:
    """Pair head weights with their biases, sorted by name. DataError for a tensor of another shape."""
    names = sorted(name for name in adapter if not is_lora(name))
    biases = {w: b for w in names if (b := _bias_of(w, adapter)) is not None}
    alone = [name for name in names if name not in biases.values()]
    heads = []
    for name in alone:
        value = adapter[name]
        if value.ndim not in (1, 2) or value.size == 0:
            raise DataError(f"{origin}: tensor '{name}' is {value.shape}; head tensors have one or two dimensions")
        rows, columns = value.shape if value.ndim == 2 else (1, value.size)
        heads.append(HeadTensor(name, biases.get(name), rows, columns + (name in biases)))
    return heads


def _bias_of(weight: str, adapter: Adapter) -> str | None:
    bias = weight.removesuffix(".weight") + ".bias"
    paired = weight.endswith(".weight") and bias in adapter and adapter[weight].ndim == 2
    return bias if paired and adapter[bias].shape == adapter[weight].shape[:1] else None


class Components:
    """The numbered components of a base adapter.

    Of a rank component with a frozen factor only the other factor's part counts. Raises DataError if ``base`` is not
    an adapter.
    """

    def __init__(self, base: Adapter, frozen: Frozen = "none", origin: str = "adapter") -> None:
        self.frozen = frozen
        self.modules = lora_modules(base, origin)
        self.heads = head_tensors(base, origin)
        self._places: list[tuple[Group, int]] = [
            *((module, row) for module in self.modules for row in range(module.rank)),
            *((head, row) for head in self.heads for row in range(head.rows)),
        ]
        self.lora_count = sum(module.rank for module in self.modules)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def lora_values(self) -> int:
        """LoRA values of the adapter that can be sent."""
        return sum(sum(self.part_sizes(index)) for index in range(self.lora_count))

    def part_sizes(self, index: int) -> tuple[int, ...]:
        """Number of values of each part of component ``index``."""
        group, _ = self._places[index]
        if isinstance(group, HeadTensor):
            return (group.columns,)
        return self._sent((group.inputs, group.outputs))

    def gather(self, adapter: Adapter, index: int) -> Parts:
        """Values of component ``index``."""
        group, row = self._places[index]
        if isinstance(group, HeadTensor):
            return (group.rows_of(adapter)[row],)
        return self._sent((adapter[group.a_name][row], adapter[group.b_name][:, row]))

    def scatter(self, adapter: Adapter, index: int, parts: Sequence[NDArray[np.float32]]) -> None:
        """Write the values of component ``index`` into ``adapter``."""
        group, row = self._places[index]
        if isinstance(group, HeadTensor):
            width = group.columns - (group.bias_name is not None)
            adapter[group.weight_name].reshape(group.rows, -1)[row] = parts[0][:width]
            if group.bias_name is not None:
                adapter[group.bias_name][row] = parts[0][width]
            return
        if self.frozen != "b":
            adapter[group.b_name][:, row] = parts[-1]
        if self.frozen != "a":
            adapter[group.a_name][row] = parts[0]

    def _sent(self, both: tuple[Item, Item]) -> tuple[Item, ...]:
        """Of (A's, B's) what is not frozen."""
        return both[self.frozen == "a" : 2 - (self.frozen == "b")]
