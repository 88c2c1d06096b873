"""The sample counter of a converter that runs from a crystal: time to samples and back."""

from __future__ import annotations

import math

_ROUNDING_SAMPLES = 1e-3
"""Times are floating-point numbers: a sample that is due within this counts as taken."""


class SampleClock:
    """Counts samples since the radio was switched on; the count goes on when the rate changes.

    Times are seconds of the medium, rates true ones (crystal error included).
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._position = 0.0
        self._since_s = 0.0

    def set_rate(self, rate_hz: float, time_s: float) -> None:
        """From ``time_s`` on samples come at ``rate_hz``."""
        self._position = self.position(time_s)
        self._since_s = time_s
        self.rate_hz = rate_hz

    def position(self, time_s: float) -> float:
        """Samples at ``time_s``, with the fraction of the next."""
        return self._position + (time_s - self._since_s) * self.rate_hz

    def count(self, time_s: float) -> int:
        """Whole samples taken up to ``time_s``."""
        return math.floor(self.position(time_s) + _ROUNDING_SAMPLES)

    def time_s(self, position: float) -> float:
        """When the sample at ``position`` is taken."""
        return self._since_s + (position - self._position) / self.rate_hz
