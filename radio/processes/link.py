"""Links between the radio's processes: checked messages with samples beside, over a socket pair.

A socket pair needs no name in the file system and tells at once when the other process has ended.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from radio.processes.messages import AnyLinkMessage, LinkMessage

_LENGTHS = struct.Struct("<IQ")
_NO_SAMPLES = np.empty(0, np.complex64)
M = TypeVar("M", bound=LinkMessage)


class LinkClosedError(Exception):
    """The process at the other end has ended (or closed its link)."""


class LinkSilentError(Exception):
    """The process at the other end neither spoke nor ended within the time limit."""


class Link:
    """One end of a link. Sends and receives block; not for several threads at once.

    With ``limit_s`` they raise LinkSilentError once the other end has moved no byte for that long (wall clock).
    """

    def __init__(self, end: socket.socket, limit_s: float | None = None, messages: Any = AnyLinkMessage) -> None:
        """``messages``: the union of what may come in; without it, what the radio's processes say."""
        end.settimeout(limit_s)
        self._socket = end
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_plain_number)
        self._decoder: msgspec.msgpack.Decoder[LinkMessage] = msgspec.msgpack.Decoder(messages)

    @classmethod
    def from_descriptor(cls, descriptor: int, messages: Any = AnyLinkMessage) -> Link:
        """The end that a parent passed to this process as ``descriptor``."""
        return cls(socket.socket(fileno=descriptor), messages=messages)

    def fileno(self) -> int:
        """Descriptor for selectors: readable when a message comes or the link closes."""
        return self._socket.fileno()

    def send(self, message: LinkMessage, samples: NDArray[np.complex64] | None = None) -> None:
        """Send ``message`` with ``samples`` (complex64) beside it. Raises LinkClosedError and LinkSilentError."""
        body = self._encoder.encode(message)
        beside = np.ascontiguousarray(_NO_SAMPLES if samples is None else samples).data.cast("B")
        try:
            self._socket.sendall(_LENGTHS.pack(len(body), len(beside)) + body)
            if len(beside):
                self._socket.sendall(beside)
        except TimeoutError as error:
            raise LinkSilentError(str(error)) from error
        except OSError as error:
            raise LinkClosedError(str(error)) from error

    def receive(self) -> tuple[LinkMessage, NDArray[np.complex64]]:
        """Next message and the samples beside it (empty without). Raises LinkClosedError and LinkSilentError."""
        body_length, samples_length = _LENGTHS.unpack(self._read(bytearray(_LENGTHS.size)))
        message = self._decoder.decode(self._read(bytearray(body_length)))
        samples = np.empty(samples_length // _NO_SAMPLES.itemsize, np.complex64)
        if samples_length:
            self._fill(samples.data.cast("B"))
        return message, samples

    def expect(self, kind: type[M]) -> tuple[M, NDArray[np.complex64]]:
        """Next message, which the protocol says is a ``kind``."""
        message, samples = self.receive()
        if not isinstance(message, kind):
            raise TypeError(f"expected {kind.__name__} on a link, got {type(message).__name__}")
        return message, samples

    def close(self) -> None:
        """Close this end; the other one notices."""
        self._socket.close()

    def _read(self, buffer: bytearray) -> bytearray:
        self._fill(memoryview(buffer))
        return buffer

    def _fill(self, view: memoryview) -> None:
        while view:
            try:
                count = self._socket.recv_into(view)
            except TimeoutError as error:
                raise LinkSilentError(str(error)) from error
            except OSError as error:
                raise LinkClosedError(str(error)) from error
            if count == 0:
                raise LinkClosedError("the other end is closed")
            view = view[count:]


def _plain_number(value: object) -> object:
    """A numpy scalar as the Python number it stands for, so that one never ends a decoder."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} does not cross a link")
