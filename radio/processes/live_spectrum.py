"""A look at the air while a run goes on: some samples of every window, published for whoever listens."""

from __future__ import annotations

import numpy as np
import zmq
from numpy.typing import NDArray

from radio.medium_socket import bind_medium

MAX_SAMPLES = 2**15
"""Samples published of a window: its middle, where bursts are."""
_QUEUED_WINDOWS = 4
"""A listener that is slower misses windows; the run never waits for it."""


class LiveSpectrum:
    """A ZeroMQ PUB socket: every message is a stretch of samples, complex64, as GNU Radio's SUB source reads it."""

    def __init__(self, address: str) -> None:
        """Listen at ``address``. Raises AddressInUseError or RadioError."""
        self._socket = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, _QUEUED_WINDOWS)
        self._socket.setsockopt(zmq.LINGER, 0)
        bind_medium(self._socket, address, "radio.spectrum_address")

    def publish(self, samples: NDArray[np.complex64]) -> None:
        """Send the middle of a window."""
        first = max(len(samples) - MAX_SAMPLES, 0) // 2
        self._socket.send(samples[first : first + MAX_SAMPLES].tobytes())
