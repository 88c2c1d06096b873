"""Single LoRA values: the layout of updates that send some values of the factors and not others.

The factors that are sent (B as its columns) are cut into tiles of at most 4,096 values, a unit each. Body: number of
values (u16), coding of their positions (u8), bytes of the positions (u16; a Rice code only), positions, one scale,
codes. Source: ours.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, LoraModule
from protocol.errors import UpdateFileError
from protocol.update.components import Components
from protocol.update.indices import (
    BITMAP,
    LENGTH_BYTES,
    MAXIMUM_PARAMETER,
    Positions,
    best_coding,
    bitmap_bytes,
    read_positions,
    write_positions,
)
from protocol.update.quantisation import Content, dequantise, encoded_bytes, quantise
from protocol.update.records import Layout, Received

TILE_VALUES = 4096
_START = struct.Struct("<HB")
_INDEX_BYTES = struct.Struct("<H")


@dataclass(frozen=True)
class Tile:
    """A stretch of one factor, its rank components one after the other."""

    module: LoraModule
    transposed: bool
    """The rank components are the tensor's columns (B)."""
    start: int
    size: int

    @property
    def tensor(self) -> str:
        """Name of the factor."""
        return self.module.b_name if self.transposed else self.module.a_name

    @property
    def width(self) -> int:
        """Values of a rank component in this factor."""
        return self.module.outputs if self.transposed else self.module.inputs

    def values_of(self, adapter: Adapter) -> NDArray[np.float32]:
        """(size,) values."""
        value = adapter[self.tensor]
        flat = (value.T if self.transposed else value).reshape(-1)
        return flat[self.start : self.start + self.size]

    def add(self, delta: Adapter, positions: Positions, values: NDArray[np.float32]) -> None:
        """Write ``values`` at ``positions`` of the tile."""
        row, column = np.divmod(self.start + positions, self.width)
        if self.transposed:
            delta[self.tensor][column, row] = values
        else:
            delta[self.tensor][row, column] = values


class TileLayout(Layout):
    """Tiles of the factors that are sent."""

    name = "values"

    def __init__(self, components: Components, quant_bits: int) -> None:
        super().__init__(components, quant_bits)
        self.tiles = _tiles(components)

    @property
    def lora_units(self) -> int:
        """Tiles."""
        return len(self.tiles)

    @property
    def lora_values(self) -> int:
        """Values of all factors that are sent."""
        return self.components.lora_values

    def limit_bytes(self, unit: int) -> int:
        """A bitmap and every value."""
        size = self.tiles[unit].size
        return _START.size + bitmap_bytes(size) + encoded_bytes([size], self.quant_bits)

    def body_bytes(self, unit: int, data: Content, start: int) -> int | None:
        """From the first bytes of the body."""
        index_start = start + _START.size
        if index_start > len(data):
            return None
        count, coding = _START.unpack_from(data, start)
        tile = self.tiles[unit]
        if not 1 <= count <= tile.size or not (coding <= MAXIMUM_PARAMETER or coding == BITMAP):
            raise UpdateFileError("update: a tile's header is damaged")
        if coding == BITMAP:
            return self.size_of(tile.size, count, coding, bitmap_bytes(tile.size))
        if index_start + LENGTH_BYTES > len(data):
            return None
        (index_bytes,) = _INDEX_BYTES.unpack_from(data, index_start)
        if index_bytes >= bitmap_bytes(tile.size):
            raise UpdateFileError("update: a tile's positions are longer than a bitmap")
        return self.size_of(tile.size, count, coding, index_bytes)

    def size_of(self, tile_size: int, count: int, coding: int, index_bytes: int) -> int:
        """Size of a body."""
        length = 0 if coding == BITMAP else LENGTH_BYTES
        return _START.size + length + index_bytes + encoded_bytes([count], self.quant_bits)

    def read(self, unit: int, body: Content, into: Received) -> int:
        """Write the values in their places."""
        count, coding = _START.unpack_from(body)
        tile, codes = self.tiles[unit], len(body) - encoded_bytes([count], self.quant_bits)
        index_start = _START.size + (0 if coding == BITMAP else LENGTH_BYTES)
        positions = read_positions(body[index_start:codes], count, tile.size, coding)
        (values,) = dequantise(body[codes:], [count], self.quant_bits)
        tile.add(into.delta, positions, values)
        return int(count)

    def write(self, unit: int, positions: Positions, delta: Adapter, rng: np.random.Generator) -> bytes:
        """Record of the values of ``delta`` at ``positions`` of a tile; draws their rounding from ``rng``."""
        tile = self.tiles[unit]
        coding, index_bytes = best_coding(positions, tile.size)
        length = b"" if coding == BITMAP else _INDEX_BYTES.pack(index_bytes)
        codes = quantise([tile.values_of(delta)[positions]], self.quant_bits, rng)
        index = write_positions(positions, tile.size, coding)
        return self.record(unit, _START.pack(len(positions), coding) + length + index + codes)

    def record_bytes(self, unit: int, positions: Positions) -> int:
        """Size of that record."""
        size = self.tiles[unit].size
        return self.id_bytes + self.size_of(size, len(positions), *best_coding(positions, size))


def _tiles(components: Components) -> list[Tile]:
    tiles = []
    for module in components.modules:
        factors = [False] * (components.frozen != "a") + [True] * (components.frozen != "b")
        for transposed in factors:
            total = module.rank * (module.outputs if transposed else module.inputs)
            tiles += [
                Tile(module, transposed, start, min(TILE_VALUES, total - start))
                for start in range(0, total, TILE_VALUES)
            ]
    return tiles
