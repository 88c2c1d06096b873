"""Base graphs 1 and 2, lifted. Source: TS 38.212, 5.3.2, with Tables 5.3.2-1 to -3.

A base graph says which columns (``Zc`` bits each) a row (``Zc`` parity checks) adds up, each column rotated
by a shift: check z of a row holds bit (z + shift) mod Zc of the column. Every row ends at shift 0 in a parity
column: rows 0, 1 and 2 in parity column 1, 2 and 3, each row r from 3 on in parity column r.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.errors import DataError

DATA = Path(__file__).parents[2] / "data"
LIFTING_SETS = (
    (2, 4, 8, 16, 32, 64, 128, 256),
    (3, 6, 12, 24, 48, 96, 192, 384),
    (5, 10, 20, 40, 80, 160, 320),
    (7, 14, 28, 56, 112, 224),
    (9, 18, 36, 72, 144, 288),
    (11, 22, 44, 88, 176, 352),
    (13, 26, 52, 104, 208),
    (15, 30, 60, 120, 240),
)
"""Lifting sizes Zc by set index (Table 5.3.2-1)."""
CORE_ROWS = 4
"""Rows whose parity bits depend on each other; any rate uses them."""
PUNCTURED_COLUMNS = 2
"""Information columns that are never sent."""


class Dimensions(NamedTuple):
    """Size of a base graph."""

    information_columns: int
    rows: int

    @property
    def columns(self) -> int:
        """Information and parity columns."""
        return self.information_columns + self.rows


DIMENSIONS = {1: Dimensions(22, 46), 2: Dimensions(10, 42)}


@dataclass(frozen=True)
class LiftedGraph:
    """The parity checks of one base graph and lifting size; an edge is a column in a row."""

    base_graph: int
    lifting_size: int
    size: Dimensions
    columns: NDArray[np.int32]
    """Column of each edge, ascending within a row."""
    shifts: NDArray[np.int32]
    """Shift of each edge, below the lifting size."""
    row_start: NDArray[np.int32]
    """First edge of each row, and the number of edges, shape (rows + 1,)."""

    @staticmethod
    @lru_cache(maxsize=8)
    def of(base_graph: int, lifting_size: int) -> LiftedGraph:
        """Raises DataError if the shipped table is missing or damaged."""
        table = _base_graph_table(base_graph)
        rows, columns, shifts = table[:, 0], table[:, 1], table[:, 2 + set_index(lifting_size)] % lifting_size
        size = DIMENSIONS[base_graph]
        row_start = np.searchsorted(rows, np.arange(size.rows + 1)).astype(np.int32)
        return LiftedGraph(base_graph, lifting_size, size, columns.copy(), shifts.copy(), row_start)

    @property
    def mother_bits(self) -> int:
        """Bits of the mother code: all columns but the punctured ones."""
        return (self.size.columns - PUNCTURED_COLUMNS) * self.lifting_size

    def edges(self, row: int) -> list[tuple[int, int]]:
        """(column, shift) of each edge of ``row``."""
        span = slice(self.row_start[row], self.row_start[row + 1])
        return list(zip(self.columns[span].tolist(), self.shifts[span].tolist(), strict=True))


def set_index(lifting_size: int) -> int:
    """Index of the set of shifts that ``lifting_size`` uses."""
    return next(i for i, sizes in enumerate(LIFTING_SETS) if lifting_size in sizes)


def _base_graph_table(base_graph: int) -> NDArray[np.int32]:
    """Row, column and the eight shifts of each edge, shape (edges, 10)."""
    path = DATA / f"nr_ldpc_base_graph_{base_graph}.csv"
    try:
        with path.open(encoding="ascii", newline="") as lines:
            return np.array([[int(field) for field in line] for line in list(csv.reader(lines))[1:]], np.int32)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: base graph cannot be read: {error}; reinstall airtune") from error
