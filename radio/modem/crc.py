"""Cyclic redundancy check of a code block: CRC-32 (IEEE 802.3), masked with the burst id.

The mask makes a block of another burst fail as surely as a damaged one.
"""

from __future__ import annotations

import zlib

CRC_BYTES = 4


def append_crc(payload: bytes, burst_id: int) -> bytes:
    """``payload`` followed by its masked CRC."""
    return payload + _masked_crc(payload, burst_id)


def checked_payload(block: bytes, burst_id: int) -> bytes | None:
    """The payload of ``block`` (payload and CRC) if its CRC holds for ``burst_id``, else None."""
    payload, crc = block[:-CRC_BYTES], block[-CRC_BYTES:]
    return payload if crc == _masked_crc(payload, burst_id) else None


def _masked_crc(payload: bytes, burst_id: int) -> bytes:
    mask = zlib.crc32(burst_id.to_bytes(8, "big"))
    return (zlib.crc32(payload) ^ mask).to_bytes(CRC_BYTES, "big")
