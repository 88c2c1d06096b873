"""Gray-mapped BPSK and square QAM: bits to points, and max-log soft bits.

Bits of a symbol come in-phase first, most significant first; every point set has unit mean energy.
A soft bit is log P(bit = 0) / P(bit = 1): positive means 0. Source: textbook Gray PAM per dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Constellation:
    """A point set built from one PAM per dimension (BPSK: in-phase only)."""

    bits_per_symbol: int
    levels: NDArray[np.float32]
    """PAM amplitude of each bit pattern of a dimension, shape (2^bits,)."""

    @staticmethod
    @lru_cache(maxsize=8)
    def of(bits_per_symbol: int) -> Constellation:
        """1: BPSK, 2: QPSK, 4: 16QAM, 6: 64QAM."""
        bits = max(bits_per_symbol // 2, 1)
        index = np.arange(1 << bits)
        amplitude = (1 << bits) - 1 - 2.0 * index
        levels = np.empty(1 << bits)
        levels[index ^ (index >> 1)] = amplitude
        dimensions = 1 if bits_per_symbol == 1 else 2
        levels /= np.sqrt(dimensions * np.mean(levels**2))
        return Constellation(bits_per_symbol, levels.astype(np.float32))

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
        in_phase = self._pam_soft_bits(np.ascontiguousarray(symbols.real), snr)
        if self.bits_per_symbol == 1:
            return in_phase
        quadrature = self._pam_soft_bits(np.ascontiguousarray(symbols.imag), snr)
        return np.concatenate([in_phase, quadrature], axis=1)

    def _pam_soft_bits(self, values: NDArray[np.float32], snr: NDArray[np.float32]) -> NDArray[np.float32]:
        distance = [np.square(values - level) for level in self.levels]
        soft = np.empty((len(values), self.bits_per_dimension), np.float32)
        for bit in range(self.bits_per_dimension):
            shift = self.bits_per_dimension - 1 - bit
            ones = [d for pattern, d in enumerate(distance) if pattern >> shift & 1]
            zeros = [d for pattern, d in enumerate(distance) if not pattern >> shift & 1]
            soft[:, bit] = (_smallest(ones) - _smallest(zeros)) * snr
        return soft


def _smallest(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    smallest = arrays[0]
    for array in arrays[1:]:
        smallest = np.minimum(smallest, array)
    return smallest
