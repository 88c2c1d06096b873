"""Samples that number themselves, to count what a stream loses on its way.

A cyclic buffer goes through the chip's digital loopback: I holds the lower 12 bits of the count, Q the upper ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CODES = 4096
"""Of the 12-bit converter."""
LONGEST_PATTERN = 1 << 18
"""Samples before the count starts again; losses are known up to a multiple of that."""


@dataclass(frozen=True)
class PatternCount:
    """What came of a counted stream."""

    samples: int
    gaps: int
    lost_samples: int
    wrong_samples: int
    """That are no number of the pattern: the loopback is off, or the samples are damaged."""

    @property
    def whole(self) -> bool:
        """Whether everything came, in order."""
        return self.gaps == 0 and self.wrong_samples == 0


def counted_pattern(length: int = LONGEST_PATTERN) -> NDArray[np.complex64]:
    """The pattern for a cyclic transmit buffer: complex64 (length,), full scale 1, in the middle of each code."""
    count = np.arange(length)
    parts = np.stack([count % CODES, count // CODES], axis=1) - CODES // 2 + 0.5
    pattern: NDArray[np.complex64] = (parts / (CODES // 2)).astype(np.float32).view(np.complex64)[:, 0]
    return pattern


def count_pattern(samples: NDArray[np.complex64], length: int = LONGEST_PATTERN) -> PatternCount:
    """Check received samples (complex64, full scale 1) against the pattern, from whatever number they start with."""
    parts = np.rint(np.ascontiguousarray(samples).view(np.float32) * (CODES // 2)).astype(np.int64)
    low, high = (parts.reshape(-1, 2) + CODES // 2).T
    numbers = low + CODES * high
    right = (low >= 0) & (low < CODES) & (numbers < length)
    steps = np.diff(numbers[right]) % length
    jumps = steps[steps != 1]
    return PatternCount(
        samples=len(samples),
        gaps=len(jumps),
        lost_samples=int(np.sum((jumps - 1) % length)),
        wrong_samples=int(np.count_nonzero(~right)),
    )
