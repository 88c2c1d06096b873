"""The address at which client radios meet a simulated medium."""

from __future__ import annotations

import time

import zmq

from protocol.errors import AddressInUseError, RadioError

_BIND_PATIENCE_S = 2.0
"""The medium of a base station that was just killed frees its address within this time."""
_BIND_PAUSE_S = 0.05


def bind_medium(medium: zmq.Socket, address: str, key: str = "clients.radio_address") -> None:
    """Listen at ``address``, the value of ``key`` in the experiment.

    Raises AddressInUseError, or RadioError if it is no address to listen at.
    """
    patience_ends = time.monotonic() + _BIND_PATIENCE_S
    while True:
        try:
            medium.bind(address)
            return
        except zmq.ZMQError as error:
            in_use = error.errno == zmq.EADDRINUSE
            if not in_use or time.monotonic() > patience_ends:
                reason = f"{key} {address}: {error.strerror}; choose another (port 0 takes a free one)"
                raise AddressInUseError(reason) if in_use else RadioError(reason) from error
        time.sleep(_BIND_PAUSE_S)


def connect_medium(address: str) -> zmq.Socket:
    """A socket of a client radio, connected; it finds a base station restarted at its address again."""
    medium = zmq.Context.instance().socket(zmq.DEALER)
    medium.setsockopt(zmq.RECONNECT_IVL, 20)
    medium.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    medium.setsockopt(zmq.LINGER, 0)
    medium.connect(address)
    return medium
