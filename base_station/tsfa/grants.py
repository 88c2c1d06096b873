"""What the allocation of a round consists of, and what finds it for one latency cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.options import Options


class Packer(Protocol):
    """Packs grants into the band."""

    @property
    def options(self) -> Options:
        """What the clients could be granted."""

    def best(self, cap_s: float) -> Grants:
        """Grants of large gain, of those the fewest RBs, with no latency above ``cap_s``."""


@dataclass(frozen=True)
class Grants:
    """Clients that send, their RBs, first RB and curve point, (A,) each; what they gain, and the largest latency.

    ``gain_limit``: nothing gains more under the same latency cap.   ``relaxed_gain``: a bound found apart from it.
    ``nearby``: for a gain, a packer of all grants that gain at least that under the same cap or a lower one. Where
    there are none its answer is any, and only the limits count.
    """

    client: NDArray[np.intp]
    rb_count: NDArray[np.int64]
    rb_start: NDArray[np.int64]
    point: NDArray[np.int64]
    gain: float
    gain_limit: float
    relaxed_gain: float
    largest_latency_s: float
    nearby: Callable[[float], Packer]

    @property
    def proven(self) -> bool:
        """Nothing gains more under the same latency cap."""
        return self.gain_limit <= self.gain
