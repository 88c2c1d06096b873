"""How many code blocks, of which lifting size. Source: TS 38.212, 5.2.2."""

from __future__ import annotations

import math
from dataclasses import dataclass

from radio.modem.ldpc.base_graph import LIFTING_SETS

MAX_BLOCK_BITS = {1: 8448, 2: 3840}
"""Kcb: bits of the largest code block, by base graph."""
CRC_BITS = 24
"""Bits of the CRC24B that each of several code blocks gets."""


@dataclass(frozen=True)
class Segmentation:
    """How a transport block is cut into code blocks."""

    base_graph: int
    blocks: int
    """C."""
    info_bits: int
    """K': bits of a code block, its CRC included."""
    lifting_size: int
    """Zc."""

    @staticmethod
    def of(transport_bits: int, base_graph: int) -> Segmentation:
        """Segmentation of ``transport_bits`` (CRC included) on ``base_graph``; blocks of equal size, rounded up."""
        if transport_bits <= MAX_BLOCK_BITS[base_graph]:
            blocks, info_bits = 1, transport_bits
        else:
            blocks = math.ceil(transport_bits / (MAX_BLOCK_BITS[base_graph] - CRC_BITS))
            info_bits = math.ceil((transport_bits + blocks * CRC_BITS) / blocks)
        columns = _filled_columns(transport_bits, base_graph)
        lifting_size = min(size for sizes in LIFTING_SETS for size in sizes if columns * size >= info_bits)
        return Segmentation(base_graph, blocks, info_bits, lifting_size)


def _filled_columns(transport_bits: int, base_graph: int) -> int:
    """Kb: information columns the lifting size is chosen for."""
    if base_graph == 1:
        return 22
    return 10 if transport_bits > 640 else 9 if transport_bits > 560 else 8 if transport_bits > 192 else 6
