"""What both ends of the control plane share: socket options, and waking a thread that waits on sockets."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import zmq

from protocol.keys import KeyPair

_PING_INTERVAL_MS = 2_000
_PING_TIMEOUT_MS = 10_000


def secure_socket(context: Any, kind: int, pair: KeyPair, largest_bytes: int) -> Any:
    """A CURVE socket with ``pair``; drops peers that send more than ``largest_bytes`` or stop answering pings."""
    opened = context.socket(kind)
    opened.curve_secretkey = pair.secret.encode()
    opened.curve_publickey = pair.public.encode()
    opened.maxmsgsize = largest_bytes
    opened.set(zmq.HEARTBEAT_IVL, _PING_INTERVAL_MS)
    opened.set(zmq.HEARTBEAT_TIMEOUT, _PING_TIMEOUT_MS)
    opened.linger = 1_000
    return opened


class Waker:
    """Lets any thread wake the one that polls ``reader``."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)

    def wake(self) -> None:
        """Wake the polling thread; never blocks (a full pair means that it will wake anyway)."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Called by the polling thread once it is awake."""
        with contextlib.suppress(BlockingIOError):
            self.reader.recv(4096)

    def close(self) -> None:
        """Close both ends."""
        self.reader.close()
        self._writer.close()
