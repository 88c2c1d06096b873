"""Which of ``size`` positions are taken: a bitmap, or a Rice code of the gaps, whichever is shorter.

A gap is the number of free positions before a taken one. With parameter m its quotient ``gap >> m`` is written in
unary (zeros, then a one), its remainder in m bits; all quotients come first, then all remainders, so that both are
read at once. Source: R. F. Rice's code, textbook; the arrangement is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UpdateFileError

Positions = NDArray[np.int64]
BITMAP = 255
"""Coding number of a bitmap; any other is a Rice parameter."""
MAXIMUM_PARAMETER = 12
LENGTH_BYTES = 2
"""What a Rice code costs more than a bitmap: its length must be told."""


def gaps_of(positions: Positions) -> Positions:
    """Free positions before each of ``positions`` (ascending)."""
    return np.diff(positions, prepend=-1) - 1


def bitmap_bytes(size: int) -> int:
    """Bytes of a bitmap of ``size`` positions."""
    return (size + 7) // 8


def rice_bits(gaps: Positions, parameter: int) -> int:
    """Bits of a Rice code."""
    return int((gaps >> parameter).sum()) + len(gaps) * (1 + parameter)


def best_coding(positions: Positions, size: int) -> tuple[int, int]:
    """(coding number, bytes) of the shortest code; the bitmap among equals."""
    gaps = gaps_of(positions)
    # Bits are convex in the parameter, so walking down from a good guess finds the least.
    parameter = min(max(int(gaps.sum() // len(gaps)).bit_length() - 1, 0), MAXIMUM_PARAMETER)
    bits = rice_bits(gaps, parameter)
    for step in (1, -1):
        while 0 <= parameter + step <= MAXIMUM_PARAMETER and (other := rice_bits(gaps, parameter + step)) < bits:
            parameter, bits = parameter + step, other
    rice_bytes = (bits + 7) // 8
    shorter = rice_bytes + LENGTH_BYTES < bitmap_bytes(size)
    return (parameter, rice_bytes) if shorter else (BITMAP, bitmap_bytes(size))


def write_positions(positions: Positions, size: int, coding: int) -> bytes:
    """Ascending ``positions`` below ``size`` in this coding."""
    if coding == BITMAP:
        taken = np.zeros(size, dtype=np.uint8)
        taken[positions] = 1
        return np.packbits(taken).tobytes()
    gaps = gaps_of(positions)
    quotients = gaps >> coding
    unary = np.zeros(int(quotients.sum()) + len(gaps), dtype=np.uint8)
    unary[np.cumsum(quotients + 1) - 1] = 1
    remainders = (gaps[:, None] >> np.arange(coding - 1, -1, -1)) & 1
    return np.packbits(np.concatenate([unary, remainders.astype(np.uint8).ravel()])).tobytes()


def read_positions(data: bytes | memoryview, count: int, size: int, coding: int) -> Positions:
    """What ``write_positions`` wrote. UpdateFileError for anything else."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if coding == BITMAP:
        positions, used = np.flatnonzero(bits), size
        sound = len(positions) == count
    else:
        ends = np.flatnonzero(bits)[:count]
        used = int(ends[-1]) + 1 + count * coding if len(ends) else 0
        sound = len(ends) == count and used <= len(bits)
        positions = _from_rice(bits, ends, coding) if sound else ends
    if not sound or len(bits) - used not in range(8) or np.any(bits[used:]) or np.any(positions >= size):
        raise UpdateFileError("update: the positions of values are damaged")
    return positions


def _from_rice(bits: NDArray[np.uint8], ends: Positions, parameter: int) -> Positions:
    start = int(ends[-1]) + 1
    binary = bits[start : start + len(ends) * parameter].reshape(len(ends), parameter).astype(np.int64)
    remainders = binary @ (1 << np.arange(parameter - 1, -1, -1, dtype=np.int64))
    gaps = (gaps_of(ends) << parameter) + remainders
    positions: Positions = np.cumsum(gaps + 1) - 1
    return positions
