"""Which bits of the mother code are sent, and in which order. Source: TS 38.212, 5.4.2.

Redundancy version 0, circular buffer as long as the mother code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.modem.ldpc.base_graph import PUNCTURED_COLUMNS, LiftedGraph


class RateMatching:
    """Bit selection (5.4.2.1) and bit interleaving (5.4.2.2) for ``coded_bits`` on the air."""

    def __init__(self, graph: LiftedGraph, info_bits: int, coded_bits: int, bits_per_symbol: int) -> None:
        """``info_bits``: K'; ``coded_bits`` is a multiple of ``bits_per_symbol``."""
        zc, punctured = graph.lifting_size, PUNCTURED_COLUMNS * graph.lifting_size
        self.coded_bits = coded_bits
        self._bits_per_symbol = bits_per_symbol
        self._mother_bits = graph.mother_bits
        self._filler = slice(info_bits - punctured, graph.size.information_columns * zc - punctured)
        buffer = np.delete(np.arange(graph.mother_bits), self._filler)
        self._buffer_bits = len(buffer)
        selected = np.resize(buffer, coded_bits)
        self.positions: NDArray[np.int64] = selected.reshape(bits_per_symbol, -1).T.ravel()
        """Mother-code position of each bit on the air."""
        last_column = PUNCTURED_COLUMNS + int(selected.max()) // zc
        self.rows = max(last_column - graph.size.information_columns + 1, 4)
        """Rows of the base graph that give the bits sent."""

    def select(self, mother: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bits on the air, shape (blocks, coded_bits), of mother-code words; only the columns sent must be there."""
        selected: NDArray[np.uint8] = np.take(mother, self.positions, axis=1)
        return selected

    def spread(self, soft: NDArray[np.float32]) -> NDArray[np.float32]:
        """Soft bits of shape (blocks, coded_bits) added up at their mother-code positions, 0 elsewhere."""
        blocks = len(soft)
        by_place = soft.reshape(blocks, -1, self._bits_per_symbol).transpose(0, 2, 1).reshape(blocks, -1)
        mother = np.zeros((blocks, self._mother_bits), np.float32)
        for begin in range(0, self.coded_bits, self._buffer_bits):
            turn = by_place[:, begin : begin + self._buffer_bits]
            head, tail = turn[:, : self._filler.start], turn[:, self._filler.start :]
            mother[:, : head.shape[1]] += head
            mother[:, self._filler.stop : self._filler.stop + tail.shape[1]] += tail
        return mother
