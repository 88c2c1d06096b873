"""Systematic encoder, many blocks at once. Source: TS 38.212, 5.3.2; parity by back substitution.

The four core rows summed leave the first parity column alone, rotated; each further column then follows from
the row that ends in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.modem.ldpc.base_graph import CORE_ROWS, PUNCTURED_COLUMNS, LiftedGraph

BLOCKS_AT_ONCE = 16
"""So many blocks' words fit in a core's cache."""


def encode(graph: LiftedGraph, info: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """The mother-code word of each block, as far as ``rows`` rows (at least 4) give it.

    ``info``: bits of shape (blocks, K'); what is missing of the information columns is filler, 0. The result has
    shape (blocks, (information_columns - 2 + rows) * Zc): the two punctured columns are left out.
    """
    sent = slice(PUNCTURED_COLUMNS, graph.size.information_columns + rows)
    parts = [info[begin : begin + BLOCKS_AT_ONCE] for begin in range(0, len(info), BLOCKS_AT_ONCE)]
    words = [_columns(graph, part, rows)[sent].transpose(1, 0, 2).reshape(len(part), -1) for part in parts]
    empty = np.empty((0, (sent.stop - sent.start) * graph.lifting_size), np.uint8)
    return np.concatenate([empty, *words])


def _columns(graph: LiftedGraph, info: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """All bits, column by column, shape (columns, blocks, Zc)."""
    blocks, zc, first = len(info), graph.lifting_size, graph.size.information_columns
    filled = np.zeros((blocks, first * zc), np.uint8)
    filled[:, : info.shape[1]] = info
    # each column stands twice in a row, so that a rotated column is one slice
    twice = np.empty((first + rows, blocks, 2 * zc), np.uint8)
    twice[:first, :, :zc] = filled.reshape(blocks, first, zc).transpose(1, 0, 2)
    twice[:first, :, zc:] = twice[:first, :, :zc]
    core = [_sum_of(twice, [e for e in graph.edges(row) if e[0] < first], zc) for row in range(CORE_ROWS)]
    _set(twice, first, np.roll(core[0] ^ core[1] ^ core[2] ^ core[3], _first_parity_shift(graph), axis=1))
    for row in range(CORE_ROWS - 1):
        known = [e for e in graph.edges(row) if first <= e[0] <= first + row]
        _set(twice, first + row + 1, core[row] ^ _sum_of(twice, known, zc))
    for row in range(CORE_ROWS, rows):
        _set(twice, first + row, _sum_of(twice, graph.edges(row)[:-1], zc))
    return twice[:, :, :zc]


def _sum_of(twice: NDArray[np.uint8], edges: list[tuple[int, int]], zc: int) -> NDArray[np.uint8]:
    total = np.zeros((twice.shape[1], zc), np.uint8)
    for column, shift in edges:
        total ^= twice[column, :, shift : shift + zc]
    return total


def _set(twice: NDArray[np.uint8], column: int, bits: NDArray[np.uint8]) -> None:
    zc = bits.shape[1]
    twice[column, :, :zc] = bits
    twice[column, :, zc:] = bits


def _first_parity_shift(graph: LiftedGraph) -> int:
    """The first parity column stands in three core rows; two of its shifts are equal and cancel."""
    first = graph.size.information_columns
    shifts = [shift for row in range(CORE_ROWS) for column, shift in graph.edges(row) if column == first]
    return next(shift for shift in shifts if shifts.count(shift) != 2)
