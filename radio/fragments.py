"""Fragments on the air: a length, the fragment, a keyed tag, cut into whole code blocks.

The tag is 64 bits of keyed BLAKE2b over run, round, client and fragment index, so a forged burst, or
one replayed from another round or another client, never becomes part of an update (docs/design.md, section 3).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

LENGTH_BYTES = 2
TAG_BYTES = 8


class ForgedFragmentError(ValueError):
    """Every block of a fragment passed its CRC, but its tag or length does not hold."""


@dataclass(frozen=True)
class FragmentTagger:
    """Seals and opens the fragments of one client in one round of one run.

    ``key``: 32 bytes, told to the client over the encrypted control plane.
    """

    key: bytes
    run_id: str
    round_index: int
    client: str
    block_bytes: int
    """Payload of a code block of the run's codec."""

    def seal(self, index: int, fragment: bytes) -> list[bytes]:
        """Code blocks (``block_bytes`` each, zero-padded) that carry fragment ``index``."""
        size = self.block_bytes
        padding = bytes(-(LENGTH_BYTES + len(fragment) + TAG_BYTES) % size)
        frame = b"".join([len(fragment).to_bytes(LENGTH_BYTES, "big"), fragment, self._tag(index, fragment), padding])
        return [frame[i : i + size] for i in range(0, len(frame), size)]

    def open(self, index: int, blocks: Sequence[bytes]) -> memoryview:
        """The fragment that ``blocks`` carry; raises ForgedFragmentError if the tag does not hold."""
        frame = memoryview(b"".join(blocks))
        length = int.from_bytes(frame[:LENGTH_BYTES], "big")
        fragment = frame[LENGTH_BYTES : LENGTH_BYTES + length]
        tag = frame[LENGTH_BYTES + length : LENGTH_BYTES + length + TAG_BYTES]
        if not hmac.compare_digest(tag, self._tag(index, fragment)):
            raise ForgedFragmentError(f"fragment {index} of {self.client} carries a wrong tag")
        return fragment

    def _tag(self, index: int, fragment: bytes | memoryview) -> bytes:
        context = f"{self.run_id}\x1f{self.round_index}\x1f{self.client}\x1f{index}\x1f".encode()
        digest = hashlib.blake2b(context, key=self.key, digest_size=TAG_BYTES)
        digest.update(fragment)
        return digest.digest()


def blocks_per_fragment(fragment_bytes: int, block_bytes: int) -> int:
    """Code blocks of ``block_bytes`` that a fragment of ``fragment_bytes`` takes on the air."""
    return -(-(LENGTH_BYTES + fragment_bytes + TAG_BYTES) // block_bytes)


def payload_share(fragment_bytes: int, block_bytes: int) -> float:
    """Share of the code blocks' payload bits that are fragment bits (the rest: length, tag, padding)."""
    return fragment_bytes / (blocks_per_fragment(fragment_bytes, block_bytes) * block_bytes)
