"""TCP in front of one virtual Pluto: a listener, and a thread for each client."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
from collections.abc import Callable

from protocol.errors import AddressInUseError, ConfigurationError
from radio.virtual.protocol import ProtocolEnd
from radio.virtual.session import Piece, Session
from radio.virtual.virtual_pluto import VirtualPluto

DEFAULT_PORT = 30431
"""Where libiio looks for a server."""
CONNECTION_LIMIT = 64
"""Clients of one radio at a time; further ones are turned away."""
_RECEIVE_BYTES = 1 << 18


class RadioServer:
    """Serves ``radio`` at ``host``:``port`` (port 0: a free one) while it is plugged in."""

    def __init__(self, radio: VirtualPluto, host: str, port: int = DEFAULT_PORT) -> None:
        self.radio = radio
        self.host = host
        self.port = port
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def uri(self) -> str:
        """What a client of libiio is to be given."""
        return f"ip:{self.host}" if self.port == DEFAULT_PORT else f"ip:{self.host}:{self.port}"

    def plug_in(self) -> None:
        """Listen. Raises AddressInUseError, or ConfigurationError if it is no address of this machine."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen(CONNECTION_LIMIT)
        except OSError as error:
            listener.close()
            where = f"radio '{self.radio.name}': {self.host}:{self.port}"
            if error.errno == errno.EADDRINUSE:
                raise AddressInUseError(f"{where} is taken by another process; choose another address") from error
            raise ConfigurationError(f"{where} cannot be listened at: {error.strerror}") from error
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Listen no more and end every connection; safe to call twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
            listener.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.drop()

    def drop(self) -> None:
        """End every connection, and wait until their buffers are closed."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.end()
        for connection in connections:
            connection.join()

    @property
    def connections(self) -> int:
        """Clients there are now."""
        with self._lock:
            return len(self._connections)

    @property
    def plugged_in(self) -> bool:
        """Whether clients can connect."""
        return self._listener is not None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # unplugged
                return
            with self._lock:
                if self._listener is not listener or len(self._connections) >= CONNECTION_LIMIT:
                    client.close()
                    continue
                connection = _Connection(self.radio, client, self._forget)
                self._connections.add(connection)
            connection.start()

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection(threading.Thread):
    """One client."""

    def __init__(self, radio: VirtualPluto, client: socket.socket, forget: Callable[[_Connection], None]) -> None:
        super().__init__(name=f"virtual-{radio.name}", daemon=True)
        self._radio = radio
        self._socket = client
        self._forget = forget
        self._ended = threading.Event()
        self._watch = select.poll()
        self._watch.register(client, select.POLLRDHUP)
        self._session = Session(radio, self._gone, self._ended.wait)

    def end(self) -> None:
        """End the connection from another thread."""
        self._ended.set()
        with contextlib.suppress(OSError):  # the client was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._session.wake()
        self._radio.faults.wake()

    def run(self) -> None:
        """Serve the client until it goes or is sent away."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := self._socket.recv(_RECEIVE_BYTES):
                self._session.parser.feed(data)
                while (request := self._session.parser.next_request()) is not None:
                    for piece in self._session.answer(request):
                        self._send(piece)
        except (OSError, ProtocolEnd):
            pass
        finally:
            self._session.close()
            self._socket.close()
            self._forget(self)

    def _send(self, piece: Piece) -> None:
        faults, view = self._radio.faults, memoryview(piece)
        faults.wait(self._ended)
        while view:
            size, pause_s = faults.piece(len(view))
            if pause_s and self._ended.wait(pause_s):
                return
            self._socket.sendall(view[:size])
            view = view[size:]

    def _gone(self) -> bool:
        """Whether the connection has ended at either side."""
        return self._ended.is_set() or bool(self._watch.poll(0))
