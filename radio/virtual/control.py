"""The control port: a ZeroMQ REP socket that takes commands; and its other end."""

from __future__ import annotations

import threading
from types import TracebackType

import zmq

from protocol.errors import AddressInUseError, AirtuneError, ConfigurationError, PeerLostError, RadioError
from radio.virtual.control_messages import (
    MESSAGE_LIMIT,
    Answer,
    Command,
    decode_answer,
    decode_command,
    encode,
)
from radio.virtual.testbed import VirtualPlutos

DEFAULT_CONTROL_ADDRESS = "tcp://127.0.0.1:0"
"""Loopback, a free port: whoever reaches the control port rules the radios."""


class ControlServer:
    """Carries out commands that arrive at ``address``, one after the other, until closed.

    Raises AddressInUseError or ConfigurationError if it cannot listen.
    """

    def __init__(self, plutos: VirtualPlutos, address: str) -> None:
        self._plutos = plutos
        context = zmq.Context.instance()
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_LIMIT)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            if error.errno == zmq.EADDRINUSE:
                raise AddressInUseError(f"--control {address}: taken by another process; choose another") from error
            raise ConfigurationError(
                f"--control {address}: {error.strerror}; an address is like tcp://127.0.0.1:5700 (port 0: a free one)"
            ) from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        stop_address = f"inproc://virtual-control-{id(self)}"
        self._stopped, self._stop = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        self._stopped.bind(stop_address)
        self._stop.connect(stop_address)
        self._thread = threading.Thread(target=self._serve, name="virtual-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; waits for the command in work."""
        self._stop.send(b"")
        self._thread.join()
        self._stop.close()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stopped, zmq.POLLIN)
        while self._stopped not in dict(poller.poll()):
            self._socket.send(encode(self._answer(self._socket.recv())))
        self._socket.close()
        self._stopped.close()

    def _answer(self, data: bytes) -> Answer:
        try:
            return self._plutos.control(decode_command(data))
        except AirtuneError as error:
            return Answer(error=str(error))


class ControlClient:
    """Sends commands to a control port; a context manager.

    Example: ``ControlClient("tcp://127.0.0.1:5700").send(Advance(samples=4096))``.
    """

    def __init__(self, address: str, timeout_s: float = 30.0) -> None:
        self._address = address
        self._socket = zmq.Context.instance().socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, int(1000.0 * timeout_s))
        self._socket.connect(address)

    def send(self, command: Command) -> Answer:
        """Have a command carried out. Raises RadioError with the reason if it is not, PeerLostError without answer."""
        try:
            self._socket.send(encode(command))
            answer = decode_answer(self._socket.recv())
        except zmq.ZMQError as error:
            raise PeerLostError(f"the virtual Plutos at {self._address} do not answer: {error.strerror}") from error
        if answer.error is not None:
            raise RadioError(f"virtual Plutos: {answer.error}")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
