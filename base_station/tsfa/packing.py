"""What a packer answers: the grants that fit the band together, and how much more any others could gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENT = -1
"""Grant of a client that gets no RBs."""


@dataclass(frozen=True)
class Packing:
    """``grant`` (N,): index into the grants of ``Options``, or SILENT. ``rb_start`` (N,): first RB, 0 if silent.

    ``limit``: no grants that fit the band sum to more units; the sum of these if they are the best.
    """

    grant: NDArray[np.int64]
    rb_start: NDArray[np.int64]
    limit: int


Packer = Callable[[NDArray[np.int64]], Packing]
"""Grants of large sum of ``units`` (N, M), at most one for each client; 0 units or less is useless."""
