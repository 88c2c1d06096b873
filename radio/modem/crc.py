"""Cyclic redundancy check of a code block, masked with the burst id.

CRC-32 (IEEE 802.3) for the convolutional code, CRC24B (TS 38.212) for LDPC. The mask makes a block of
another burst fail as surely as a damaged one.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray


def append_crc(payloads: NDArray[np.uint8], crc_bits: int, burst_id: int) -> NDArray[np.uint8]:
    """``payloads``, shape (blocks, bytes), each followed by its masked CRC of ``crc_bits`` (24 or 32)."""
    return np.concatenate([payloads, _masked_crc(payloads, crc_bits, burst_id)], axis=1)


def crc_holds(framed: NDArray[np.uint8], crc_bits: int, burst_id: int) -> NDArray[np.bool_]:
    """Which of ``framed`` (payload and CRC bytes, shape (blocks, bytes)) carry the CRC of ``burst_id``."""
    size = crc_bits // 8
    holds: NDArray[np.bool_] = np.all(framed[:, -size:] == _masked_crc(framed[:, :-size], crc_bits, burst_id), axis=1)
    return holds


def _masked_crc(payloads: NDArray[np.uint8], crc_bits: int, burst_id: int) -> NDArray[np.uint8]:
    """Big-endian bytes of each payload's CRC, shape (blocks, crc_bits / 8)."""
    mask = zlib.crc32(burst_id.to_bytes(8, "big")) & ((1 << crc_bits) - 1)
    masked = _crc(payloads, crc_bits) ^ np.uint32(mask)
    as_bytes = masked.astype(">u4").view(np.uint8).reshape(len(payloads), 4)
    return as_bytes[:, 4 - crc_bits // 8 :]


def _crc(payloads: NDArray[np.uint8], crc_bits: int) -> NDArray[np.uint32]:
    if crc_bits == 32:
        return np.array([zlib.crc32(row.tobytes()) for row in payloads], np.uint32)
    from radio.modem.ldpc.crc import crc24b

    return crc24b(payloads)
