"""Keyed random streams: every draw is a function of its name, never of what was drawn before.

Two runs with one seed see the same split, initialisation, channel and noise whatever
method they compare, and a resumed run draws exactly what the first one drew.
Source: ours (docs/design.md, section 2).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Key = int | str


def derive_seed(seed: int, purpose: str, *key: Key) -> int:
    """64-bit integer that depends on ``(seed, purpose, *key)`` alone (BLAKE2b)."""
    text = "\x1f".join([str(seed), purpose, *(f"{type(k).__name__}:{k}" for k in key)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def random_stream(seed: int, purpose: str, *key: Key) -> np.random.Generator:
    """Fresh counter-based generator for one purpose.

    Example: ``random_stream(7, "fade", round_index, "jetson-1")``.
    """
    philox_key = _PhiloxKey(derive_seed(seed, purpose, *key))
    return np.random.Generator(np.random.Philox(philox_key))  # type: ignore[arg-type]  # unknown to numpy's stubs


class _PhiloxKey(ISeedSequence):
    """Stands where a seed sequence does; the same as ``Philox(key=...)``, which also asks the system for entropy."""

    def __init__(self, key: int) -> None:
        self._words = np.array([key, 0], np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> NDArray[np.uint64]:
        """The key's two words; ``Philox`` wants no others."""
        return self._words
