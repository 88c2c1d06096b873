"""Keyed random streams: every draw is a function of its name, never of what was drawn before.

Two runs with one seed see the same split, initialisation, channel and noise whatever
method they compare, and a resumed run draws exactly what the first one drew.
Source: ours (docs/design.md, section 2).
"""

from __future__ import annotations

import hashlib

import numpy as np

Key = int | str


def derive_seed(seed: int, purpose: str, *key: Key) -> int:
    """64-bit integer that depends on ``(seed, purpose, *key)`` alone (BLAKE2b)."""
    text = "\x1f".join([str(seed), purpose, *(f"{type(k).__name__}:{k}" for k in key)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def random_stream(seed: int, purpose: str, *key: Key) -> np.random.Generator:
    """Fresh counter-based generator for one purpose.

    Example: ``random_stream(7, "fade", round_index, "jetson-1")``.
    """
    return np.random.Generator(np.random.Philox(key=derive_seed(seed, purpose, *key)))
