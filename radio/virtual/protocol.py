"""The IIOD text protocol without sockets: bytes in, requests out; and how replies are written.

Source: the protocol of libiio 0.2x as its own server and client speak it (iiod's lexer and parser, ``iiod-client.c``);
the code is ours. Nothing a client sends is trusted: lines and payloads are limited in size.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

LINE_LIMIT = 4096
"""Longest request line, bytes."""
ATTRIBUTE_LIMIT = 64 * 1024
"""Longest value of an attribute, bytes; a filter with 128 taps has 2 kB."""
SKIP_LIMIT = 2**20
"""A longer value is read and refused up to here; beyond, the connection ends."""
VERSION_REPLY = b"0.24.v0.24  \n"
"""The tag must have seven characters: libiio's client reads a fixed length."""
HELP_REPLY = b"Commands: HELP EXIT PRINT VERSION TIMEOUT OPEN CLOSE READ WRITE READBUF WRITEBUF GETTRIG SETTRIG SET\n"

Kind = Literal["device", "debug", "buffer", "input", "output"]
_KINDS: dict[str, Kind] = {"DEBUG": "debug", "BUFFER": "buffer", "INPUT": "input", "OUTPUT": "output"}


class IiodError(Exception):
    """A request that a Pluto answers with ``-number`` (an errno); never shown to a user of airtune."""

    def __init__(self, number: int, reason: str = "") -> None:
        super().__init__(reason or errno.errorcode.get(number, str(number)))
        self.number = number


class ProtocolEnd(Exception):  # noqa: N818  (the end of a connection, not a fault of ours)
    """What came can be followed by nothing sensible: the connection has to end."""


@dataclass(frozen=True)
class Target:
    """Whose attributes: of a device, its debug or buffer directory, or one of its channels."""

    device: str
    kind: Kind = "device"
    channel: str | None = None


@dataclass(frozen=True)
class Plain:
    """A command without arguments: VERSION, PRINT, ZPRINT, HELP or EXIT."""

    command: str


@dataclass(frozen=True)
class Timeout:
    """TIMEOUT: how long the server may wait for a device, ms."""

    milliseconds: int


@dataclass(frozen=True)
class Trigger:
    """GETTRIG or SETTRIG."""

    device: str
    sets: bool


@dataclass(frozen=True)
class SetBuffersCount:
    """SET device BUFFERS_COUNT: kernel buffers of the next OPEN."""

    device: str
    count: int


@dataclass(frozen=True)
class Read:
    """READ: one attribute of a target, or all of them."""

    target: Target
    attribute: str | None


@dataclass(frozen=True)
class Write:
    """WRITE: one attribute, or all (``attribute`` None); ``data`` as the client sent it."""

    target: Target
    attribute: str | None
    data: bytes


@dataclass(frozen=True)
class Open:
    """OPEN: a buffer of ``samples`` samples over the channels of ``mask`` (as sent, 8 hexadecimal digits)."""

    device: str
    samples: int
    mask: str
    cyclic: bool


@dataclass(frozen=True)
class Close:
    """CLOSE: the buffer of a device."""

    device: str


@dataclass(frozen=True)
class ReadBuffer:
    """READBUF: ``size`` bytes of samples are wanted."""

    device: str
    size: int


@dataclass(frozen=True)
class WriteBuffer:
    """WRITEBUF: ``size`` bytes of samples are offered; they follow once they are asked for."""

    device: str
    size: int


@dataclass(frozen=True)
class Payload:
    """The samples of a WRITEBUF."""

    data: bytes


@dataclass(frozen=True)
class Malformed:
    """A request that is answered with ``-number`` and has no other effect."""

    number: int


Request = (
    Plain | Timeout | Trigger | SetBuffersCount | Read | Write | Open | Close | ReadBuffer | WriteBuffer | Payload
    | Malformed
)  # fmt: skip


class RequestParser:
    """Splits what arrives on one connection into requests.

    ``feed`` bytes as they come, then call ``next_request`` until it gives None. After a WRITEBUF that is accepted
    the server calls ``expect_payload``; the next request is then its Payload.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pending: Write | None = None
        self._payload_size = 0
        self._skip = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Take what arrived."""
        self._buffer += data

    def expect_payload(self, size: int) -> None:
        """The next ``size`` bytes are samples."""
        self._payload_size = size

    @property
    def wanted(self) -> int:
        """How many bytes complete what is being read; 0 if that is a line."""
        return max(0, self._payload_size - len(self._buffer))

    def next_request(self) -> Request | None:
        """The next whole request, None if more bytes are needed. Raises ProtocolEnd."""
        if self._skip:
            return self._skipped()
        if self._payload_size:
            return self._payload()
        while (end := self._buffer.find(b"\n", 0, LINE_LIMIT)) >= 0:
            line = self._take(end + 1).decode("latin-1")
            if words := line.split():
                return self._of_line(words)
        if len(self._buffer) >= LINE_LIMIT:
            raise ProtocolEnd(f"a request line of more than {LINE_LIMIT} bytes")
        return None

    def _of_line(self, words: list[str]) -> Request | None:
        try:
            request = _parse(words)
        except (ValueError, IndexError):
            return Malformed(errno.EINVAL)
        if not isinstance(request, _WriteLine):
            return request
        if request.size > SKIP_LIMIT:
            raise ProtocolEnd(f"an attribute of {request.size} bytes")
        if request.size > ATTRIBUTE_LIMIT:
            self._skip = request.size
            return self._skipped()
        self._pending = Write(request.target, request.attribute, b"")
        self._payload_size = request.size
        return self._payload()

    def _payload(self) -> Request | None:
        if len(self._buffer) < self._payload_size:
            return None
        data = self._take(self._payload_size)
        self._payload_size = 0
        if self._pending is None:
            return Payload(data)
        request = Write(self._pending.target, self._pending.attribute, data)
        self._pending = None
        return request

    def _skipped(self) -> Request | None:
        self._skip -= len(self._take(min(self._skip, len(self._buffer))))
        return Malformed(errno.EINVAL) if self._skip == 0 else None

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data


@dataclass(frozen=True)
class _WriteLine:
    target: Target
    attribute: str | None
    size: int


def _parse(words: list[str]) -> Request | _WriteLine:
    """The request of one line. Raises ValueError or IndexError if it is none."""
    command, arguments = words[0].upper(), words[1:]
    if command in ("VERSION", "PRINT", "ZPRINT", "HELP", "EXIT", "QUIT"):
        return Plain("EXIT" if command == "QUIT" else command)
    if command == "TIMEOUT":
        return Timeout(_count(arguments[0]))
    if command in ("GETTRIG", "SETTRIG"):
        return Trigger(arguments[0], sets=command == "SETTRIG")
    if command == "SET" and arguments[1].upper() == "BUFFERS_COUNT":
        return SetBuffersCount(arguments[0], _count(arguments[2]))
    if command == "READ":
        target, rest = _target(arguments)
        return Read(target, _at_most_one(rest))
    if command == "WRITE":
        target, rest = _target(arguments[:-1])
        return _WriteLine(target, _at_most_one(rest), _count(arguments[-1]))
    return _parse_buffer(command, arguments)


def _parse_buffer(command: str, arguments: list[str]) -> Request:
    if command == "OPEN":
        cyclic = len(arguments) > 3
        if cyclic and arguments[3].upper() != "CYCLIC":
            raise ValueError(arguments[3])
        return Open(arguments[0], _count(arguments[1]), arguments[2], cyclic)
    if command == "CLOSE":
        return Close(arguments[0])
    if command == "READBUF":
        return ReadBuffer(arguments[0], _count(arguments[1]))
    if command == "WRITEBUF":
        return WriteBuffer(arguments[0], _count(arguments[1]))
    raise ValueError(command)


def _target(arguments: list[str]) -> tuple[Target, list[str]]:
    """Whose attributes, and the words after."""
    device, rest = arguments[0], arguments[1:]
    kind = _KINDS.get(rest[0].upper()) if rest else None
    if kind is None:
        return Target(device), rest
    if kind in ("input", "output"):
        return Target(device, kind, rest[1]), rest[2:]
    return Target(device, kind), rest[1:]


def _at_most_one(words: list[str]) -> str | None:
    if len(words) > 1:
        raise ValueError(words[1])
    return words[0] if words else None


def _count(text: str) -> int:
    """A number of bytes, samples or milliseconds."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 10:
        raise ValueError(text)
    return int(text)


def number_reply(number: int) -> bytes:
    """A length, 0, or an errno as a negative number."""
    return b"%d\n" % number


def value_reply(value: bytes) -> bytes:
    """An attribute's value (or a document) with its length before it."""
    return b"%d\n%s\n" % (len(value), value)


def samples_header(size: int, mask: str) -> bytes:
    """What stands before ``size`` bytes of samples."""
    return b"%d\n%s\n" % (size, mask.encode("ascii"))
