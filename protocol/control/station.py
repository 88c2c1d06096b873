"""The base station's end of the control plane."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import zmq

from protocol.control.access import KeyCheck
from protocol.control.codec import Rejection, decode_from_client, encode_from_station
from protocol.control.roster import NAME_IN_USE, SAY_HELLO, Roster
from protocol.control.wire import Waker, secure_socket
from protocol.errors import AddressInUseError, ConfigurationError, ProtocolError
from protocol.keys import KeyPair
from protocol.messages import (
    CLIENT_MESSAGE_LIMIT,
    PROTOCOL_VERSION,
    ClientMessage,
    Heartbeat,
    Hello,
    Refused,
    StationMessage,
)

_INBOX_LIMIT = 256
"""Messages of one client waiting to be received; more are dropped, so a flood cannot fill the memory."""
_READS_PER_TURN = 64
_HEARTBEAT_NEWS_S = 5.0
"""A heartbeat that says the same as the last one is passed on only this often."""
# The socket drops a connection above this without telling whose it was; what lies between the limit of a
# client's message and this is read, refused by the decoder, and its sender named.
_SOCKET_LIMIT = 2 * CLIENT_MESSAGE_LIMIT

Event = tuple[str, ClientMessage | Rejection]


class StationControl:
    """ROUTER with CURVE. A background thread does all socket work; the methods may be called from any thread.

    ``allowed`` maps the name of each client to its public key: the key a message came under says who sent it.
    Raises AddressInUseError or ConfigurationError if ``address`` cannot be bound.
    """

    def __init__(self, address: str, pair: KeyPair, allowed: Mapping[str, str]) -> None:
        self._inbox: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()
        self._waiting: Counter[str] = Counter()
        self._outbox: queue.SimpleQueue[tuple[bytes, list[bytes | memoryview]]] = queue.SimpleQueue()
        self._roster = Roster()
        self._lock = threading.Lock()
        self._stages: dict[str, tuple[Heartbeat, float]] = {}
        self._closing = threading.Event()
        self._context = zmq.Context()
        self._access = KeyCheck(self._context, allowed, lambda text: self._pass_on("", Rejection(text)))
        self._router = secure_socket(self._context, zmq.ROUTER, pair, _SOCKET_LIMIT)
        self._router.curve_server = True
        self._access.protect(self._router)
        try:
            self.address = _bind(self._router, address)
        except Exception:
            self._context.destroy(linger=0)
            raise
        self._waker = Waker()
        self._thread = threading.Thread(target=self._run, name="station-control", daemon=True)
        self._thread.start()

    @property
    def refused_keys(self) -> dict[str, int]:
        """Refused connections by unknown public key."""
        return dict(self._access.refused)

    def send(self, name: str, message: StationMessage) -> bool:
        """Queue ``message`` for client ``name``; False if no instance of it ever said hello.

        Whether it arrives is seen from what the client answers, and from ``last_heard_s``.
        """
        with self._lock:
            routing_id = self._roster.routing_id(name)
        if routing_id is None:
            return False
        self._outbox.put((routing_id, encode_from_station(message)))
        self._waker.wake()
        return True

    def receive(self, timeout_s: float) -> Event | None:
        """Next message or rejection with the name of its client, None after ``timeout_s``.

        A Hello means that this client knows of nothing sent to it before: greet it with Welcome, also in the
        middle of a run. Heartbeats are passed on when their stage or round changed, else every 5 s. A
        connection with an unknown key is told once, as a Rejection with an empty name.
        """
        try:
            event = self._inbox.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if isinstance(event, Exception):
            self._inbox.put(event)
            raise event
        with self._lock:
            self._waiting[event[0]] -= 1
        return event

    def last_heard_s(self, name: str) -> float:
        """Wall-clock seconds since the client's live instance was heard; infinite if it never was."""
        with self._lock:
            return self._roster.silence_s(name, time.monotonic())

    def close(self) -> None:
        """Send what is queued (for at most a second) and close; safe to call twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._waker.wake()
        self._thread.join()
        self._context.term()
        self._waker.close()

    # ---- everything below runs in the background thread ---------------------------------

    def _run(self) -> None:
        poller = zmq.Poller()
        for source in (self._router, self._access.socket, self._waker.reader):
            poller.register(source, zmq.POLLIN)
        try:
            while not self._closing.is_set():
                ready = dict(poller.poll())
                if self._access.socket in ready:
                    self._access.answer()
                self._waker.clear()
                self._send_queued()
                if self._router in ready:
                    self._read_some()
        except Exception as error:
            self._inbox.put(error)
        finally:
            self._send_queued()
            self._access.socket.close(linger=0)
            self._router.close()

    def _send_queued(self) -> None:
        while not self._outbox.empty():
            self._put_out(*self._outbox.get())

    def _put_out(self, routing_id: bytes, frames: list[bytes | memoryview]) -> None:
        # A ROUTER drops what it cannot route; a client that stopped reading loses messages, never blocks us.
        self._router.send_multipart([routing_id, *frames], zmq.DONTWAIT, copy=False)

    def _read_some(self) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                routing_id, *parts = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            if parts:
                self._take(parts[0].get("User-Id"), routing_id.bytes, parts)

    def _take(self, name: str, routing_id: bytes, parts: list[Any]) -> None:
        try:
            if len(parts) != 1:
                raise ProtocolError(f"a message of {len(parts)} frames; a control message is one")
            message = decode_from_client(parts[0].buffer)
        except ProtocolError as error:
            self._pass_on(name, Rejection(str(error)))
            return
        if isinstance(message, Hello):
            self._take_hello(name, routing_id, message)
            return
        with self._lock:
            live = self._roster.hear(name, routing_id, time.monotonic())
        if not live:
            self._put_out(routing_id, encode_from_station(Refused(SAY_HELLO, retry=True)))
        elif not isinstance(message, Heartbeat) or self._is_news(name, message):
            self._pass_on(name, message)

    def _take_hello(self, name: str, routing_id: bytes, hello: Hello) -> None:
        refusal = None
        if hello.name != name:
            refusal = Refused(f"this key belongs to '{name}', not to '{hello.name}'")
        elif hello.version != PROTOCOL_VERSION:
            refusal = Refused(f"it speaks protocol version {hello.version}, the base station {PROTOCOL_VERSION}")
        else:
            with self._lock:
                outcome = self._roster.admit(name, hello.instance, routing_id, time.monotonic())
            if outcome == "new":
                self._pass_on(name, hello)
            elif outcome == "in-use":
                self._put_out(routing_id, encode_from_station(Refused(NAME_IN_USE, retry=True)))
        if refusal is not None:
            self._put_out(routing_id, encode_from_station(refusal))
            self._pass_on(name, Rejection(refusal.reason))

    def _is_news(self, name: str, heartbeat: Heartbeat) -> bool:
        """Whether the stage changed, or so much time passed that the client may have been taken for gone."""
        now_s = time.monotonic()
        stage, told_s = self._stages.get(name, (None, 0.0))
        if stage == heartbeat and now_s - told_s < _HEARTBEAT_NEWS_S:
            return False
        self._stages[name] = (heartbeat, now_s)
        return True

    def _pass_on(self, name: str, message: ClientMessage | Rejection) -> None:
        with self._lock:
            waiting = self._waiting[name]
            if waiting > _INBOX_LIMIT:
                return
            self._waiting[name] += 1
        if waiting == _INBOX_LIMIT:
            message = Rejection(f"it sends faster than it is read; what follows its {waiting} messages is dropped")
        self._inbox.put((name, message))


def _bind(router: Any, address: str) -> str:
    """Bind and return the address with the port that was taken."""
    port = address.rpartition(":")[2]
    if port.isdecimal() and int(port) > 65535:  # libzmq would take it modulo 65536
        raise ConfigurationError(f"{address}: cannot listen here: a port is at most 65535")
    try:
        router.bind(address)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{address}: in use by another process; end it or choose another clients.control_address"
            ) from error
        raise ConfigurationError(
            f"{address}: cannot listen here: {error.strerror}; use tcp://IP-ADDRESS:PORT of this machine"
        ) from error
    bound: str = router.last_endpoint.decode().rstrip("\0")
    return bound
