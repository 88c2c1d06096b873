"""A client's end of the control plane."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from protocol.control.codec import decode_from_station, encode_from_client
from protocol.control.roster import NAME_IN_USE
from protocol.control.wire import Waker, secure_socket
from protocol.errors import AccessError, AirtuneError, ConfigurationError, PeerLostError
from protocol.keys import ClientKeys
from protocol.messages import (
    STATION_MESSAGE_LIMIT,
    ClientMessage,
    Heartbeat,
    Hello,
    Refused,
    StationMessage,
    Welcome,
)

HEARTBEAT_INTERVAL_S = 1.0
NAME_IN_USE_PATIENCE_S = 15.0
"""How long a client waits for its name: longer than the base station holds it for one that was killed."""
_HELLO_RETRY_S = 1.0
_POLL_MS = 200
_WRONG_KEY_FAILURES = 3
"""Handshakes the other end broke off before we call its key wrong (one alone can be a restart)."""


class ClientControl:
    """DEALER with CURVE. A background thread connects, reconnects, says hello and sends a heartbeat every second.

    ``patience_s``: wall-clock time without a base station before it gives up; ``in_use_patience_s``: the same with
    a base station that says that another process has the name. ``arrived`` is set whenever ``receive`` has something.
    Whatever ends the connection for good is raised by the next ``send`` or ``receive``: AccessError for a wrong
    key or a refusal, PeerLostError if nobody answers.
    """

    def __init__(
        self, address: str, name: str, keys: ClientKeys, patience_s: float = 60.0,
        in_use_patience_s: float = NAME_IN_USE_PATIENCE_S, arrived: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.address = address
        self.name = name
        self._patience_s = patience_s
        self._in_use_patience_s = in_use_patience_s
        self._instance = secrets.token_hex(8)
        self._arrived = arrived or threading.Event()
        self._inbox: queue.SimpleQueue[StationMessage | AirtuneError] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._stage = Heartbeat()
        self._failure: AirtuneError | None = None
        self._closing = threading.Event()
        self._connected = False
        self._greeted = False
        self._failures = 0
        self._waiting_since_s = time.monotonic()
        self._in_use_since_s: float | None = None
        self._hello_at_s: float | None = None
        self._beat_at_s = 0.0
        self._context = zmq.Context()
        self._dealer = secure_socket(self._context, zmq.DEALER, keys.pair, STATION_MESSAGE_LIMIT)
        self._dealer.curve_serverkey = keys.station_public.encode()
        self._dealer.reconnect_ivl = 100
        self._dealer.reconnect_ivl_max = 2_000
        self._monitor = self._dealer.get_monitor_socket()
        try:
            self._dealer.connect(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ConfigurationError(f"{address}: not an address: {error.strerror}; use tcp://HOST:PORT") from error
        self._waker = Waker()
        self._thread = threading.Thread(target=self._run, name=f"control-{name}", daemon=True)
        self._thread.start()

    def send(self, message: ClientMessage) -> None:
        """Queue ``message``. It is lost if the connection is, or before Welcome: the base station greets us (anew).

        Raises ProtocolError if it breaks the schema or the size limit.
        """
        if self._failure is not None:
            raise self._failure
        self._outbox.put(encode_from_client(message))
        self._waker.wake()

    def receive(self, timeout_s: float) -> StationMessage | None:
        """Next message, None after ``timeout_s``.

        A Welcome in the middle of a run means that the connection, or the base station, is new: drop what was
        under way and wait for its Plan. Refusals do not show here; they are retried or raised.
        """
        try:
            message = self._inbox.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if isinstance(message, AirtuneError):
            self._inbox.put(message)
            raise message
        return message

    def set_stage(self, stage: str, round_index: int) -> None:
        """What the heartbeats say from now on; sent at once."""
        self._stage = Heartbeat(stage, round_index)
        self._beat_at_s = 0.0
        self._waker.wake()

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
        for source in (self._dealer, self._monitor, self._waker.reader):
            poller.register(source, zmq.POLLIN)
        try:
            while not self._closing.is_set():
                ready = dict(poller.poll(_POLL_MS))
                self._waker.clear()
                if self._monitor in ready:
                    self._note(recv_monitor_message(self._monitor))
                if self._dealer in ready:
                    self._take(self._dealer.recv_multipart(copy=False))
                self._speak(time.monotonic())
        except AirtuneError as error:
            self._failure = error
            self._pass_on(error)
        finally:
            self._send_queued()
            self._dealer.disable_monitor()
            self._monitor.close(linger=0)
            self._dealer.close()

    def _note(self, event: dict[str, Any]) -> None:
        """Follow the connection, as libzmq's monitor tells it."""
        kind = event["event"]
        if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._connected = True
            self._failures = 0
            self._hello_at_s = 0.0
        elif kind == zmq.EVENT_DISCONNECTED and self._connected:
            self._connected = self._greeted = False
            self._in_use_since_s = None
            self._waiting_since_s = time.monotonic()
        elif kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise AccessError(
                f"{self.address}: the base station does not know the key of '{self.name}'; "
                f"give it the {self.name}.pub that belongs to this client's key"
            )
        elif kind in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
            self._failures += 1
            if self._failures >= _WRONG_KEY_FAILURES:
                raise AccessError(
                    f"{self.address}: who answers there does not hold the key in base-station.pub; "
                    "copy that file from the base station, and check the address"
                )

    def _take(self, parts: list[Any]) -> None:
        message = decode_from_station([part.buffer for part in parts])
        if not isinstance(message, Refused):
            if isinstance(message, Welcome):
                self._greeted = True
                self._in_use_since_s = None
            self._pass_on(message)
            return
        if not message.retry:
            raise AccessError(f"{self.address}: the base station refused '{self.name}': {message.reason}")
        now_s = time.monotonic()
        self._greeted = False
        if message.reason == NAME_IN_USE:
            self._in_use_since_s = self._in_use_since_s or now_s
            if now_s - self._in_use_since_s > self._in_use_patience_s:
                raise AccessError(
                    f"{self.address}: another process is '{self.name}' there; end it, or use a name of your own"
                )
        self._hello_at_s = now_s + _HELLO_RETRY_S

    def _pass_on(self, message: StationMessage | AirtuneError) -> None:
        self._inbox.put(message)
        self._arrived.set()

    def _speak(self, now_s: float) -> None:
        """Hello when it is due, then what is queued, then a heartbeat when it is due."""
        if self._greeted:
            self._send_queued()
        else:
            self._drop_queued()
        if not self._connected:
            if now_s - self._waiting_since_s > self._patience_s:
                raise PeerLostError(
                    f"{self.address}: no base station answered for {self._patience_s:.0f} s; is it running there?"
                )
            return
        if self._hello_at_s is not None and now_s >= self._hello_at_s:
            self._hello_at_s = None
            self._put_out(encode_from_client(Hello(self.name, self._instance)))
        if now_s >= self._beat_at_s and self._hello_at_s is None:
            self._beat_at_s = now_s + HEARTBEAT_INTERVAL_S
            self._put_out(encode_from_client(self._stage))

    def _send_queued(self) -> None:
        while not self._outbox.empty():
            self._put_out(self._outbox.get())

    def _drop_queued(self) -> None:
        """What was said to a base station that is gone is of no use to the next one."""
        while not self._outbox.empty():
            self._outbox.get()

    def _put_out(self, data: bytes) -> None:
        with contextlib.suppress(zmq.Again):  # no connection: lost, as said in ``send``
            self._dealer.send(data, zmq.DONTWAIT)
