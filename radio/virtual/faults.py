"""What is wrong with one radio's connection, on command: stalled, or slow."""

from __future__ import annotations

import threading

_PIECE_S = 0.05
_SMALLEST_PIECE = 64


class Faults:
    """Faults between one radio and its clients; safe to use from several threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._stalled = False
        self._bytes_per_s: float | None = None

    def stall(self) -> None:
        """Answer nothing until ``clear``."""
        with self._condition:
            self._stalled = True

    def slow_down(self, bytes_per_s: float) -> None:
        """Send no faster than this."""
        with self._condition:
            self._bytes_per_s = bytes_per_s

    def clear(self) -> None:
        """All in order again."""
        with self._condition:
            self._stalled, self._bytes_per_s = False, None
            self._condition.notify_all()

    def wake(self) -> None:
        """Have those that are held up look whether their connection ended."""
        with self._condition:
            self._condition.notify_all()

    def wait(self, ended: threading.Event) -> None:
        """Hold up an answer while the radio stalls, at most until the connection ``ended``."""
        with self._condition:
            self._condition.wait_for(lambda: not self._stalled or ended.is_set())

    def piece(self, size: int) -> tuple[int, float]:
        """How many of ``size`` bytes may be sent at once, and the pause before them, s."""
        with self._condition:
            if self._bytes_per_s is None:
                return size, 0.0
            part = min(size, max(_SMALLEST_PIECE, int(self._bytes_per_s * _PIECE_S)))
            return part, part / self._bytes_per_s
