"""How long a burst must be waited for once its client has sent it, learnt from those that came."""

from __future__ import annotations

from collections import deque

FEWEST = 4
"""Bursts heard before measured latencies take over."""
_MEMORY = 32
_FACTOR = 2.0
_SPARE_S = 0.05


class DetectionWindow:
    """Starts from ``radio.detection_window_s``; a burst that was not found sets it back."""

    def __init__(self, default_s: float) -> None:
        self._default_s = default_s
        self._latencies_s: deque[float] = deque(maxlen=_MEMORY)

    @property
    def length_s(self) -> float:
        """How long to wait, beyond the burst's length."""
        if len(self._latencies_s) < FEWEST:
            return self._default_s
        return _FACTOR * max(self._latencies_s) + _SPARE_S

    def heard(self, latency_s: float) -> None:
        """A burst ended so long after its client had said that it was sent (0 if it was there already)."""
        self._latencies_s.append(max(latency_s, 0.0))

    def missed(self) -> None:
        """A burst was not found: perhaps it came later than any before."""
        self._latencies_s.clear()
