"""Spans: the RBs of one client, and the arrays of what they gain.

``units`` (N, K, K) holds what client n gains with the RBs s to e at [n, e, s]; useless entries are 0, those that
are no span (s > e) far below any sum. A position p is the number of RBs used up, the guard behind the last grant
included, of K + g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """RBs ``first`` to ``last`` of one client."""

    client: int
    first: int
    last: int


def total_units(units: NDArray[np.int64], spans: list[Span]) -> int:
    """What the spans gain together."""
    return sum(int(units[span.client, span.last, span.first]) for span in spans)
