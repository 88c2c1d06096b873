"""Quantisation of a component's values: 4, 8 or 16 bit codes under one scale a part, or float32 as it is.

Codes are signed, symmetric and never the most negative number. A row of A and a column of B get a scale each,
because in the first rounds (B starts at zero) their changes differ by orders of magnitude. Rounding is
stochastic and unbiased: ``floor(value / scale + u)`` with u uniform in [0, 1). Source: textbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import VALUE_LIMIT, sound
from protocol.errors import UpdateFileError

QuantBits = Literal[4, 8, 16, 32]
QUANT_BITS: tuple[QuantBits, ...] = (4, 8, 16, 32)
SCALE_BYTES = 4
SCALE_FLOOR = np.float32(2.0**-100)
"""A part whose scale would be smaller is sent as zero: products stay clear of denormals, which some libraries flush."""

Values = NDArray[np.float32]
_CODES_OF_BYTE: NDArray[np.int32] = ((np.arange(256)[:, None] >> np.array([0, 4]) & 0x0F ^ 8) - 8).astype(np.int32)
"""Both codes of 4 bits in a byte, the first one in its low half, (256, 2)."""
Content = bytes | memoryview
"""Bytes that are read, possibly in the middle of others."""


def encoded_bytes(part_sizes: Sequence[int], bits: int) -> int:
    """Bytes of one component with parts of these sizes, scales included."""
    scales = 0 if bits == 32 else SCALE_BYTES * len(part_sizes)
    return scales + (sum(part_sizes) * bits + 7) // 8


def top_code(bits: int) -> int:
    """Largest code of ``bits`` bits."""
    return int(2 ** (bits - 1) - 1)


def scales_of(rows: Values, bits: int) -> Values:
    """Smallest float32 scale per row of ``rows`` (n, values) whose codes reach its largest value.

    0 for a row that is sent as zero.
    """
    peak = np.max(np.abs(rows), axis=1).astype(np.float64)
    scales = (peak / top_code(bits)).astype(np.float32)
    short = scales.astype(np.float64) * top_code(bits) < peak
    scales = np.where(short, np.nextafter(scales, np.float32(np.inf)), scales)
    return np.where(scales >= SCALE_FLOOR, scales, np.float32(0.0))


def rounding_variance(rows: Values, bits: int) -> NDArray[np.float64]:
    """Expected squared error of stochastic rounding per row of ``rows`` (n, values): ``scale^2 sum f (1 - f)``.

    f is the fractional part of value / scale. 0 at 32 bits; the whole square for a row that is sent as zero.
    """
    variance: NDArray[np.float64] = rounding_variances(rows, bits).sum(axis=1)
    return variance


def rounding_variances(rows: Values, bits: int) -> NDArray[np.float64]:
    """The same value by value, (n, values)."""
    values = rows.astype(np.float64)
    if bits == 32:
        return np.zeros_like(values)
    scales = scales_of(rows, bits).astype(np.float64)[:, None]
    steps = np.divide(values, scales, out=np.zeros_like(values), where=scales > 0.0)
    fraction = steps - np.floor(steps)
    error: NDArray[np.float64] = np.where(scales > 0.0, scales**2 * fraction * (1.0 - fraction), values**2)
    return error


def quantise(parts: Sequence[Values], bits: int, rng: np.random.Generator) -> bytes:
    """Scales and codes of one component. Draws one uniform number a value, none at 32 bits."""
    return b"".join(quantised(parts, bits, rng))


def quantised(parts: Sequence[Values], bits: int, rng: np.random.Generator) -> list[Content]:
    """The same in pieces, to be joined with what comes before and after them."""
    if bits == 32:
        return [np.ascontiguousarray(part, dtype="<f4").data for part in parts]
    scales = [scales_of(part[None, :], bits)[0] for part in parts]
    codes = np.concatenate([_codes(part, scale, rng) for part, scale in zip(parts, scales, strict=True)])
    return [np.array(scales, dtype="<f4").tobytes(), _pack(codes, bits)]


def dequantise(data: Content, part_sizes: Sequence[int], bits: int) -> list[Values]:
    """Values of one component from ``encoded_bytes(part_sizes, bits)`` bytes.

    One float32 product a value, so both sides get the same bits; at 32 bits they are ``data`` itself, not to be
    written to. Raises UpdateFileError for scales that are
    negative, not finite or absurd, and for codes no encoder writes.
    """
    if bits == 32:
        values = np.frombuffer(data, dtype="<f4")
        if not sound(values):
            raise UpdateFileError("update: a component holds NaN, infinity or an absurd value")
        return np.split(values, np.cumsum(part_sizes)[:-1])
    scales = np.frombuffer(data, dtype="<f4", count=len(part_sizes)).astype(np.float32)
    largest = VALUE_LIMIT / top_code(bits) * (1.0 + 1e-6)
    if not all(0.0 <= scale <= largest for scale in scales.tolist()):
        raise UpdateFileError("update: a component's scale is negative, not finite or absurd")
    codes = _unpack(data[SCALE_BYTES * len(part_sizes) :], sum(part_sizes), bits)
    if codes.min(initial=0) < -top_code(bits):
        raise UpdateFileError("update: a component holds a code outside its range")
    values, ends = codes.astype(np.float32), accumulate(part_sizes)
    return [values[end - size : end] * scale for size, end, scale in zip(part_sizes, ends, scales, strict=True)]


def _codes(values: Values, scale: np.float32, rng: np.random.Generator) -> NDArray[np.int32]:
    uniform = rng.random(values.size)
    if scale == 0.0:
        return np.zeros(values.size, dtype=np.int32)
    return np.floor(values.astype(np.float64) / float(scale) + uniform).astype(np.int32)


def _pack(codes: NDArray[np.int32], bits: int) -> bytes:
    if bits != 4:
        return codes.astype(f"<i{bits // 8}").tobytes()
    nibbles = np.append(codes, [0] * (codes.size % 2)).astype(np.uint8) & 0x0F
    return (nibbles[0::2] | (nibbles[1::2] << 4)).tobytes()


def _unpack(data: Content, count: int, bits: int) -> NDArray[np.int32]:
    if bits != 4:
        return np.frombuffer(data, dtype=f"<i{bits // 8}", count=count).astype(np.int32)
    return _CODES_OF_BYTE[np.frombuffer(data, dtype=np.uint8)].reshape(-1)[:count]
