"""Cyclic redundancy check of a code block, masked with the burst id.

CRC-32 (IEEE 802.3) for the convolutional code, CRC24B (TS 38.212) for LDPC. The mask makes a block of
another burst fail as surely as a damaged one.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray


def append_crc(payloads: NDArray[np.uint8], crc_bits: int, burst_id: int) -> NDArray[np.uint8]:
    """``payloads``, shape (blocks, bytes), each followed by its CRC of ``crc_bits`` (24 or 32), masked."""
    return np.concatenate([payloads, _crc(payloads, crc_bits) ^ crc_mask(crc_bits, burst_id)], axis=1)


def crc_holds(framed: NDArray[np.uint8], crc_bits: int) -> NDArray[np.bool_]:
    """Which of ``framed`` (payload and CRC bytes without mask, shape (blocks, bytes)) are whole."""
    size = crc_bits // 8
    holds: NDArray[np.bool_] = np.all(framed[:, -size:] == _crc(framed[:, :-size], crc_bits), axis=1)
    return holds


def crc_mask(crc_bits: int, burst_id: int) -> NDArray[np.uint8]:
    """Bytes added to every CRC of a burst, shape (crc_bits / 8,)."""
    return np.frombuffer(zlib.crc32(burst_id.to_bytes(8, "big")).to_bytes(4, "big"), np.uint8)[-crc_bits // 8 :]


def _crc(payloads: NDArray[np.uint8], crc_bits: int) -> NDArray[np.uint8]:
    """Big-endian bytes of each payload's CRC, shape (blocks, crc_bits / 8)."""
    if crc_bits == 32:
        values = np.array([zlib.crc32(row.tobytes()) for row in payloads], np.uint32)
    else:
        from radio.modem.ldpc.crc import crc24b

        values = crc24b(payloads)
    return values.astype(">u4").view(np.uint8).reshape(len(payloads), 4)[:, -crc_bits // 8 :]
