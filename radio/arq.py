"""ARQ of one update: which code blocks go out next, which arrived, when a fragment is whole.

A sans-IO state machine: the base station asks ``next_blocks``, grants a burst, and tells ``received``
what came of it. A pass ends when every block it began with was tried once; the next pass takes the failed ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from radio.fragments import ForgedFragmentError, FragmentTagger


class ArqTracker:
    """State of one client's update of ``block_count`` blocks, ``per_fragment`` blocks to a fragment."""

    def __init__(self, tagger: FragmentTagger, block_count: int, per_fragment: int, max_passes: int) -> None:
        self._tagger = tagger
        self._per_fragment = per_fragment
        self._block_count = block_count
        self._max_passes = max_passes
        self._arrived: dict[int, bytes] = {}
        self._waiting = list(range(block_count))
        self._failed: list[int] = []
        self.fragments: dict[int, memoryview] = {}
        """Fragments whose tag held, by index."""
        self.pass_index = 0
        self.blocks_sent = 0
        self.blocks_failed = 0
        self.fragments_forged = 0

    @property
    def complete(self) -> bool:
        """Every fragment arrived and its tag held."""
        return len(self.fragments) == self.fragment_count

    @property
    def fragment_count(self) -> int:
        """Fragments of the update."""
        return -(-self._block_count // self._per_fragment)

    def next_blocks(self, limit: int) -> list[int]:
        """Up to ``limit`` block ids to send now; empty when complete or out of passes."""
        if not self._waiting and self._failed and self.pass_index + 1 < self._max_passes:
            self._waiting, self._failed = sorted(self._failed), []
            self.pass_index += 1
        return self._waiting[:limit]

    def received(self, block_ids: Sequence[int], blocks: Sequence[bytes | None]) -> None:
        """Take in the outcome of a burst that carried ``block_ids`` (None: CRC failed or nothing heard)."""
        outcome = dict(zip(block_ids, blocks, strict=True))
        if self._waiting[: len(block_ids)] == list(block_ids):  # as ``next_blocks`` gave them
            del self._waiting[: len(block_ids)]
        else:
            self._waiting = [b for b in self._waiting if b not in outcome]
        self.blocks_sent += len(outcome)
        for block_id, block in outcome.items():
            if block is None:
                self._failed.append(block_id)
                self.blocks_failed += 1
            else:
                self._arrived[block_id] = block
        for index in sorted({b // self._per_fragment for b in block_ids}):
            self._try_fragment(index)

    def delivered_bitmap(self) -> bytes:
        """Bit i, most significant first: fragment i is whole and genuine."""
        bits = bytearray(-(-self.fragment_count // 8))
        for index in self.fragments:
            bits[index // 8] |= 0x80 >> (index % 8)
        return bytes(bits)

    def _try_fragment(self, index: int) -> None:
        ids = range(index * self._per_fragment, min((index + 1) * self._per_fragment, self._block_count))
        if index in self.fragments or any(i not in self._arrived for i in ids):
            return
        try:
            self.fragments[index] = self._tagger.open(index, [self._arrived[i] for i in ids])
        except ForgedFragmentError:
            self.fragments_forged += 1
            for block_id in ids:
                del self._arrived[block_id]
                self._failed.append(block_id)


def delivered_indices(bitmap: bytes, count: int) -> list[int]:
    """Fragment indices set in a bitmap made by ``ArqTracker.delivered_bitmap``."""
    return [i for i in range(min(count, 8 * len(bitmap))) if bitmap[i // 8] & (0x80 >> (i % 8))]
