"""Hybrid ARQ by chase combining: soft bits of failed blocks are added to those of their next transmission.

They are kept at mother-code positions, so a retransmission may use another MCS and other RBs. Source:
textbook chase combining; positions after the rate matching of TS 38.212.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import DataBurst
from radio.modem.block_coding import decode_blocks
from radio.modem.mcs import McsTable

MAX_KEPT_BLOCKS = 2048
"""Blocks a memory keeps at most (100 MB); the oldest are forgotten first and then decode on their own."""


class SoftMemory:
    """Soft bits of blocks that have not been decoded yet, of one round. Not for several threads at once."""

    def __init__(self) -> None:
        self._round_index = -1
        self._kept: OrderedDict[tuple[str, int], NDArray[np.float16]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, round_index: int) -> None:
        """Forget everything if ``round_index`` is not the round of what is kept: its blocks are others."""
        if round_index != self._round_index:
            self._kept.clear()
            self._round_index = round_index

    def decode(self, burst: DataBurst, mother: NDArray[np.float32]) -> tuple[list[bytes | None], int]:
        """Content of each block of ``burst`` (None: not decoded), and how many took the help of earlier bursts.

        ``mother``: ``block_soft_bits`` of the burst, shape (blocks, mother_bits). A block is tried with all that was
        kept of it, then by itself: soft bits of a burst that was not its own must not spoil it for ever.
        """
        mcs = McsTable.load()[burst.mcs]
        keys = [(burst.client, block_id) for block_id in burst.block_ids]
        total = mother.copy()
        helped = [i for i, key in enumerate(keys) if key in self._kept and self._kept[key].shape == mother[i].shape]
        for i in helped:
            total[i] += self._kept[keys[i]]
        blocks = decode_blocks(mcs, total)
        combined = sum(blocks[i] is not None for i in helped)
        alone = [i for i in helped if blocks[i] is None]
        if alone:
            for i, block in zip(alone, decode_blocks(mcs, mother[alone]), strict=True):
                blocks[i] = block
        for key, block, soft in zip(keys, blocks, total, strict=True):
            self._keep(key, None if block is not None else soft)
        return blocks, combined

    def _keep(self, key: tuple[str, int], soft: NDArray[np.float32] | None) -> None:
        self._kept.pop(key, None)
        if soft is not None:
            limit = np.finfo(np.float16).max
            self._kept[key] = np.clip(soft, -limit, limit).astype(np.float16)
            if len(self._kept) > MAX_KEPT_BLOCKS:
                self._kept.popitem(last=False)
