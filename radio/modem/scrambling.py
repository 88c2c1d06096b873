"""Interleaver and scrambler, both seeded by the burst id.

The interleaver permutes the coded bits within a block, so neighbouring bits of the code fall on
different subcarriers (LDPC: whole symbols, since TS 38.212 has put each bit in the place of a symbol that
suits it); errors in time stay within few blocks, which is what retransmission wants.
The scrambler whitens the whole coded stream. Source: ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.random_streams import random_stream


def interleaver(burst_id: int, coded_bits: int, together: int = 1) -> NDArray[np.int64]:
    """Permutation ``p``: bit ``i`` on the air is coded bit ``p[i]`` of its block; ``together`` bits stay together.

    Bits that stay together (an even number) are a symbol's in the order of TS 38.211, in-phase and quadrature in turn,
    the most reliable first; on the air all in-phase bits come first.
    """
    order = random_stream(burst_id, "modem interleaver").permutation(coded_bits // together)
    within = np.concatenate([np.arange(0, together, 2), np.arange(1, together, 2)])
    places: NDArray[np.int64] = (order[:, None] * together + within).ravel()
    return places


def scrambling_bits(burst_id: int, n_bits: int) -> NDArray[np.uint8]:
    """``n_bits`` bits added to the coded stream."""
    packed = random_stream(burst_id, "modem scrambler").bytes(-(-n_bits // 8))
    return np.unpackbits(np.frombuffer(packed, np.uint8))[:n_bits]
