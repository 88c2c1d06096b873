"""Error curves: how much of an update's energy stays unsent at how many bits. What makes one valid (ours)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def curve_fault(curve: Sequence[tuple[float, float]]) -> str:
    """Why ``curve``, points of (bits, unsent energy), is no error curve; empty if it is one.

    The first point sends zero bits; bits rise, energies are finite, not negative and do not rise.
    """
    if not curve or curve[0][0] != 0:
        return "the first point must be the one of zero bits"
    for point in curve:
        for value in point:
            if not 0.0 <= value < math.inf:
                return f"bits and energies must be finite and at least 0, got {float(value):g}"
    for (bits, energy), (next_bits, next_energy) in itertools.pairwise(curve):
        if next_bits <= bits:
            return f"bits must ascend, but {next_bits:g} follows {bits:g}"
        if next_energy > energy:
            return f"energy must not rise, but {next_energy:g} follows {energy:g}"
    return ""
