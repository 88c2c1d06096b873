"""Gray-mapped BPSK and square QAM: bits to points, and max-log soft bits.

Bits of a symbol come in-phase first, most significant first; every point set has unit mean energy.
A soft bit is log P(bit = 0) / P(bit = 1): positive means 0. Source: textbook Gray PAM per dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SoftBitLines(NamedTuple):
    """Max-log soft bits over the amplitude y in one dimension, exactly: ``snr * (slope * y + offset)`` by segment.

    The nearest level whose bit is 0 (or 1) changes halfway between two of them, a multiple of half the
    distance of two levels; in between, the difference of the squared distances is a straight line.
    """

    segment_width: float
    """Zero lies in the middle, between two segments."""
    slopes: NDArray[np.float32]
    """Shape (segments, bits), as ``offsets``."""
    offsets: NDArray[np.float32]


@dataclass(frozen=True)
class Constellation:
    """A point set built from one PAM per dimension (BPSK: in-phase only)."""

    bits_per_symbol: int
    levels: NDArray[np.float32]
    """PAM amplitude of each bit pattern of a dimension, shape (2^bits,)."""
    soft_bit_lines: SoftBitLines

    @staticmethod
    @lru_cache(maxsize=8)
    def of(bits_per_symbol: int) -> Constellation:
        """1: BPSK, 2: QPSK, 4: 16QAM, 6: 64QAM, 8: 256QAM."""
        bits = max(bits_per_symbol // 2, 1)
        index = np.arange(1 << bits)
        amplitude = (1 << bits) - 1 - 2.0 * index
        levels = np.empty(1 << bits)
        levels[index ^ (index >> 1)] = amplitude
        dimensions = 1 if bits_per_symbol == 1 else 2
        levels /= np.sqrt(dimensions * np.mean(levels**2))
        return Constellation(bits_per_symbol, levels.astype(np.float32), _soft_bit_lines(levels))

    @property
    def bits_per_dimension(self) -> int:
        """Bits one PAM carries."""
        return len(self.levels).bit_length() - 1

    def points(self, bits: NDArray[np.uint8]) -> NDArray[np.complex64]:
        """Symbols of a bit stream whose length is a multiple of ``bits_per_symbol``."""
        weights = 1 << np.arange(self.bits_per_dimension)[::-1]
        patterns = bits.reshape(-1, self.bits_per_dimension) @ weights.astype(np.uint8)
        amplitudes = self.levels[patterns]
        if self.bits_per_symbol == 1:
            result: NDArray[np.complex64] = amplitudes.astype(np.complex64)
            return result
        points: NDArray[np.complex64] = np.ascontiguousarray(amplitudes).view(np.complex64)
        return points

    def soft_bits(self, symbols: NDArray[np.complex64], snr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Max-log soft bits, shape (n, bits_per_symbol), of equalised ``symbols``; ``snr`` is linear, per symbol."""
        n_bits = len(symbols) * self.bits_per_symbol
        in_order = self.block_soft_bits(symbols, snr, np.zeros(n_bits, np.uint8), np.arange(n_bits), 1)
        return in_order.reshape(-1, self.bits_per_symbol)

    def block_soft_bits(
        self,
        symbols: NDArray[np.complex64],
        snr: NDArray[np.float32],
        scrambling: NDArray[np.uint8],
        places: NDArray[np.int64],
        n_blocks: int,
    ) -> NDArray[np.float32]:
        """Soft bits of ``n_blocks`` blocks in a row, descrambled, shape (n_blocks, len(places)).

        ``scrambling``: a bit per bit on the air. Bit i of a block on the air comes out at ``places[i]``.
        """
        from radio.modem import kernels  # numba: only receivers need it, points and rates do not

        dimensions = 1 if self.bits_per_symbol == 1 else 2
        return kernels.block_soft_bits(symbols, snr, dimensions, *self.soft_bit_lines, scrambling, places, n_blocks)


def _soft_bit_lines(levels: NDArray[np.float64]) -> SoftBitLines:
    width = float(np.min(np.abs(levels)))
    middles = width * (np.arange(-len(levels), len(levels)) + 0.5)
    bits = range(len(levels).bit_length() - 1)
    is_one = [(np.arange(len(levels)) >> bit & 1).astype(bool) for bit in reversed(bits)]
    zero = np.stack([_nearest(levels[~one], middles) for one in is_one], axis=1)
    one = np.stack([_nearest(levels[one], middles) for one in is_one], axis=1)
    slopes, offsets = 2.0 * (zero - one), one**2 - zero**2
    return SoftBitLines(width, slopes.astype(np.float32), offsets.astype(np.float32))


def _nearest(levels: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest: NDArray[np.float64] = levels[np.argmin(np.abs(np.subtract.outer(to, levels)), axis=1)]
    return nearest
