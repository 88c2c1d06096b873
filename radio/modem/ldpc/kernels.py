"""The decoder's loops, compiled: layered belief propagation in 8-bit saturating arithmetic.

All inner loops run over the Zc checks of a base row, which are independent, and become SIMD instructions. A
rotated column is one contiguous read, because each column stands twice in a row; it is stored in the rotation
that the last row wanted it in. Messages are LLRs in units of 1/4.

Each check combines magnitudes by ``box plus`` in a single pass (A-min*, Jones et al., "Approximate-MIN*
constraint node updating for LDPC code decoding", 2003): the least reliable bit hears of all others, each other bit
of all. That costs little more than min-sum and comes closer to the sum-product algorithm.

The arithmetic is in this file, not beside it: numba's cache notices changes of this file only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from radio.modem.compiled import compiled
from radio.modem.ldpc.base_graph import CORE_ROWS, PUNCTURED_COLUMNS

UNITS = np.float32(4.0)
"""8-bit units of one unit of LLR."""
MAX_SOFT_BIT = np.float32(32.0)
"""Soft bits are clipped to this: below the largest message, so that checks can overrule the channel."""
MAX_MESSAGE = np.uint8(40)
"""Largest message of a check to a bit: sums of several must not saturate at 127 at once."""
CORRECTION = np.uint8(2)
"""log(1 + exp(-0)) in units; 0.5 instead of 0.69 did best with this approximation."""
CERTAIN = np.int8(127)
"""Filler bits."""
NO_BIT = np.uint8(255)
"""Neutral element of ``box plus``."""
POSITIVE = np.int8(0)
ABOVE = np.int32(128)
HALF_ABOVE = np.float32(128.5)
"""Rounding to the nearest integer by truncation of a positive number."""


def _saturating(name: str) -> Any:
    """LLVM's ``name`` on two 8-bit integers: one SIMD instruction, where numba's integers widen to 64 bits."""

    def typed(_context: Any, a: Any, b: Any) -> Any:
        def call(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
            kind = ir.FunctionType(values[0].type, [value.type for value in values])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.i8"), values)

        return a(a, b), call

    return intrinsic(typed)


_plus, _minus = _saturating("sadd.sat"), _saturating("ssub.sat")
_plus_unsigned, _minus_unsigned = _saturating("uadd.sat"), _saturating("usub.sat")
_smaller, _larger = _saturating("umin"), _saturating("umax")


@compiled
def _magnitude(value: np.int8) -> np.uint8:
    """128 for -128."""
    return np.uint8(abs(np.int32(value)))


@compiled
def _box_plus(a: np.uint8, b: np.uint8) -> np.uint8:
    """Magnitude of the LLR of the sum of two bits: min + log(1 + exp(-(a + b))) - log(1 + exp(-|a - b|))."""
    low, high = _smaller(a, b), _larger(a, b)
    gain = _minus_unsigned(CORRECTION, np.uint8(_plus_unsigned(a, b) >> np.uint8(2)))
    loss = _minus_unsigned(CORRECTION, np.uint8(np.uint8(high - low) >> np.uint8(2)))
    result: np.uint8 = _minus_unsigned(_plus_unsigned(low, gain), loss)
    return result


@compiled
def _hear(
    columns: NDArray[np.int32],
    shifts: NDArray[np.int32],
    bits: NDArray[np.int8],
    rotation: NDArray[np.int64],
    messages: NDArray[np.int8],
    heard: NDArray[np.int8],
    least: NDArray[np.uint8],
    others: NDArray[np.uint8],
    sign: NDArray[np.int8],
) -> None:
    """What the checks of a row hear of their bits, apart from their own last messages to them."""
    zc = len(sign)
    least[:] = NO_BIT
    others[:] = NO_BIT
    sign[:] = POSITIVE
    for edge in range(len(columns)):
        begin = _turn(shifts[edge] - rotation[columns[edge]], zc)
        column, message, value_of = bits[columns[edge]][begin : begin + zc], messages[edge], heard[edge]
        for z in range(zc):
            value = _minus(column[z], message[z])
            value_of[z] = value
            sign[z] ^= value
            magnitude = _magnitude(value)
            others[z] = _box_plus(others[z], _larger(least[z], magnitude))
            least[z] = _smaller(least[z], magnitude)


@compiled
def _tell(
    columns: NDArray[np.int32],
    shifts: NDArray[np.int32],
    bits: NDArray[np.int8],
    rotation: NDArray[np.int64],
    messages: NDArray[np.int8],
    heard: NDArray[np.int8],
    least: NDArray[np.uint8],
    others: NDArray[np.uint8],
    everything: NDArray[np.uint8],
    sign: NDArray[np.int8],
) -> None:
    """New messages of the checks of a row to their bits, and the bits with them."""
    zc = len(sign)
    for z in range(zc):
        everything[z] = _smaller(_box_plus(others[z], least[z]), MAX_MESSAGE)
        others[z] = _smaller(others[z], MAX_MESSAGE)
    for edge in range(len(columns)):
        rotation[columns[edge]] = shifts[edge]
        message, value_of = messages[edge], heard[edge]
        once, again = bits[columns[edge]][:zc], bits[columns[edge]][zc:]
        for z in range(zc):
            value = value_of[z]
            to_least, to_all, smallest = others[z], everything[z], least[z]
            new = np.int8(to_least if _magnitude(value) == smallest else to_all)
            negative = np.int8(sign[z] ^ value) < POSITIVE
            new = np.int8(-new) if negative else new
            message[z] = new
            total = _plus(value, new)
            once[z] = total
            again[z] = total


@compiled
def _checks_hold(
    columns: NDArray[np.int32],
    shifts: NDArray[np.int32],
    bits: NDArray[np.int8],
    rotation: NDArray[np.int64],
    sign: NDArray[np.int8],
) -> bool:
    """Whether the signs of ``bits`` satisfy all checks of one base row."""
    zc = len(sign)
    sign[:] = POSITIVE
    for edge in range(len(columns)):
        begin = _turn(shifts[edge] - rotation[columns[edge]], zc)
        column = bits[columns[edge]][begin : begin + zc]
        for z in range(zc):
            sign[z] ^= column[z]
    any_sign = POSITIVE
    for z in range(zc):
        any_sign |= sign[z]
    return bool(any_sign >= POSITIVE)


@compiled
def _turn(shift: int, zc: int) -> int:
    return shift + zc if shift < 0 else shift


@compiled
def _load(soft: NDArray[np.float32], info_bits: int, information_columns: int, bits: NDArray[np.int8], zc: int) -> int:
    """Quantise a block's soft bits into ``bits``; the number of base rows that reach the last one that is not 0.

    None if so few are not 0 that no code word could be told from another (less than half of the information bits):
    the few may all be positive by chance, and the code word of zeros has a CRC of zeros.
    """
    last, known = -1, 0
    for column in range(len(bits)):
        once, again = bits[column][:zc], bits[column][zc:]
        if column < PUNCTURED_COLUMNS:
            once[:] = 0
        else:
            begin = (column - PUNCTURED_COLUMNS) * zc
            source = soft[begin : begin + zc]
            for z in range(zc):
                value = min(max(source[z] * UNITS, -MAX_SOFT_BIT), MAX_SOFT_BIT)
                once[z] = np.int8(np.int32(value + HALF_ABOVE) - ABOVE)
                known += once[z] != 0
            last = column if np.any(once) else last
        for bit in range(max(info_bits - column * zc, 0), zc if column < information_columns else 0):
            once[bit] = CERTAIN
        again[:] = once
    return max(last + 1 - information_columns, CORE_ROWS) if 2 * known > info_bits else 0


@compiled
def _hard_decisions(bits: NDArray[np.int8], rotation: NDArray[np.int64], info: NDArray[np.uint8]) -> None:
    """Signs of the information bits, in their own order."""
    zc = bits.shape[1] // 2
    for begin in range(0, len(info), zc):
        column = begin // zc
        source, target = bits[column][zc - rotation[column] :], info[begin : begin + zc]
        for z in range(len(target)):
            target[z] = source[z] < POSITIVE


@compiled
def decode(
    mother: NDArray[np.float32],
    columns: NDArray[np.int32],
    shifts: NDArray[np.int32],
    row_start: NDArray[np.int32],
    information_columns: int,
    max_iterations: int,
    info: NDArray[np.uint8],
    converged: NDArray[np.bool_],
    iterations: NDArray[np.int64],
) -> None:
    """Decode each row of ``mother`` (soft bits at mother-code positions) into a row of ``info``, shape (blocks, K').

    A block ends when all checks of the rows in use hold, which ``converged`` says, or after ``max_iterations``. A block
    with hardly any soft bit does not converge. Edges as in ``LiftedGraph``.
    """
    n_columns = information_columns + len(row_start) - 1
    zc = mother.shape[1] // (n_columns - PUNCTURED_COLUMNS)
    bits = np.empty((n_columns, 2 * zc), np.int8)
    messages = np.empty((len(columns), zc), np.int8)
    heard = np.empty((n_columns, zc), np.int8)
    least, others, everything = np.empty(zc, np.uint8), np.empty(zc, np.uint8), np.empty(zc, np.uint8)
    sign = np.empty(zc, np.int8)
    rotation = np.empty(n_columns, np.int64)
    for block in range(len(mother)):
        rows = _load(mother[block], info.shape[1], information_columns, bits, zc)
        for edge in range(row_start[rows]):
            messages[edge][:] = 0
        rotation[:] = 0
        converged[block] = False
        iterations[block] = 0
        while rows > 0 and iterations[block] < max_iterations and not converged[block]:
            # the light last rows first: what they learn helps the heavy first ones (half an iteration saved)
            for row in range(rows - 1, -1, -1):
                a, b = row_start[row], row_start[row + 1]
                _hear(columns[a:b], shifts[a:b], bits, rotation, messages[a:b], heard, least, others, sign)
                _tell(columns[a:b], shifts[a:b], bits, rotation, messages[a:b], heard, least, others, everything, sign)
            iterations[block] += 1
            converged[block] = True
            for row in range(rows):
                a, b = row_start[row], row_start[row + 1]
                if not _checks_hold(columns[a:b], shifts[a:b], bits, rotation, sign):
                    converged[block] = False
                    break
        _hard_decisions(bits, rotation, info[block])
