"""CRC24B over bytes, many blocks at once. Source: TS 38.212, 5.1.

A CRC is linear: that of a message is the sum (XOR) of what each of its bytes gives at its place, which is
looked up.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CRC24B = 0x800063
"""Generator polynomial without its term D^24."""


def crc24b(messages: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """CRC of each row of ``messages``, shape (n, bytes); most significant bit first, start value 0."""
    n_bytes = messages.shape[1]
    shares = _shares(n_bytes)[np.arange(n_bytes), messages]
    crc: NDArray[np.uint32] = np.bitwise_xor.reduce(shares, axis=1, initial=np.uint32(0))
    return crc


@lru_cache(maxsize=8)
def _shares(n_bytes: int) -> NDArray[np.uint32]:
    """What a byte (second axis) at a place (first axis) adds to the CRC of ``n_bytes`` bytes."""
    last = np.arange(256, dtype=np.uint32) << 16
    for _ in range(8):
        last = (last << 1 & 0xFFFFFF) ^ (last >> 23) * np.uint32(CRC24B)
    shares = np.empty((n_bytes, 256), np.uint32)
    share = last
    for place in range(n_bytes - 1, -1, -1):
        shares[place] = share
        share = (share << 8 & 0xFFFFFF) ^ last[share >> 16]
    return shares
