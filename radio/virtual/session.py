"""One client's connection to one radio, without its socket: a request in, pieces of the reply out."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator

from radio.virtual.attributes import ADC, DAC
from radio.virtual.protocol import (
    HELP_REPLY,
    VERSION_REPLY,
    Close,
    IiodError,
    Malformed,
    Open,
    Payload,
    Plain,
    ProtocolEnd,
    Read,
    ReadBuffer,
    Request,
    RequestParser,
    SetBuffersCount,
    Timeout,
    Trigger,
    Write,
    WriteBuffer,
    number_reply,
    samples_header,
    value_reply,
)
from radio.virtual.reception import ReceiveStream
from radio.virtual.virtual_pluto import BUFFER_LIMIT, TransmitBuffer, VirtualPluto

Piece = bytes | memoryview
_CHANNELS = {0b01: (0,), 0b10: (1,), 0b11: (0, 1)}


class Session:
    """Answers the requests of one connection.

    ``cancelled`` tells whether the connection has ended; ``wait`` sleeps, at most until then.
    """

    def __init__(self, radio: VirtualPluto, cancelled: Callable[[], bool], wait: Callable[[float], bool]) -> None:
        self.parser = RequestParser()
        self._radio = radio
        self._cancelled = cancelled
        self._wait = wait
        self._stream: ReceiveStream | None = None
        self._stream_mask = ""
        self._buffer: TransmitBuffer | None = None

    def answer(self, request: Request) -> Iterator[Piece]:
        """Pieces of the reply, in order. Raises ProtocolEnd if the client said goodbye."""
        try:
            yield from self._answer(request)
        except IiodError as error:
            yield number_reply(-error.number)

    def close(self) -> None:
        """The connection ended: buffers are closed."""
        self._close_stream()
        self._close_buffer()

    def wake(self) -> None:
        """Have what waits for samples look whether the connection has ended."""
        if self._stream is not None:
            self._stream.wake()

    def _answer(self, request: Request) -> Iterator[Piece]:
        match request:
            case Plain(command):
                yield self._plain(command)
            case Read(_, attribute):
                yield value_reply(self._read_all(request) if attribute is None else self._read(request, attribute))
            case Write(target, attribute, data):
                if attribute is None:
                    raise IiodError(errno.EINVAL, "write attributes one by one")
                self._radio.device.write(target, attribute, data.decode("latin-1").rstrip("\0\n"))
                yield number_reply(len(data))
            case ReadBuffer(device, size):
                yield from self._read_buffer(device, size)
            case WriteBuffer(device, size):
                yield self._accept_samples(device, size)
            case Payload(data):
                yield self._take_samples(data)
            case _:
                yield number_reply(self._control(request))

    def _plain(self, command: str) -> bytes:
        if command == "VERSION":
            return VERSION_REPLY
        if command == "PRINT":
            return value_reply(self._radio.device.context())
        if command == "HELP":
            return HELP_REPLY
        if command == "EXIT":
            raise ProtocolEnd("goodbye")
        return number_reply(-errno.EINVAL)  # ZPRINT: the client then asks for PRINT

    def _control(self, request: Request) -> int:
        """Requests that are answered with a number alone. Raises IiodError."""
        match request:
            case Timeout():
                return 0
            case Trigger(device, sets):
                self._radio.device.device_id(device)
                return -errno.ENODEV if sets else -errno.ENOENT
            case SetBuffersCount(device, count):
                self._radio.set_buffers_count(self._radio.device.device_id(device), count)
                return 0
            case Open():
                return self._open(request)
            case Close(device):
                return self._close_device(self._radio.device.device_id(device))
            case Malformed(number):
                return -number
        return -errno.EINVAL

    def _read(self, request: Read, attribute: str) -> bytes:
        return self._radio.device.read(request.target, attribute).encode("latin-1") + b"\0"

    def _read_all(self, request: Read) -> bytes:
        """Each attribute with its length (or errno) before it, padded to four bytes."""
        names = self._radio.device.attribute_names(request.target)
        return b"".join(self._with_length(request, name) for name in names)

    def _with_length(self, request: Read, name: str) -> bytes:
        try:
            value = self._read(request, name)
        except IiodError as error:
            return struct.pack(">i", -error.number)
        return struct.pack(">i", len(value)) + value + b"\0" * (-len(value) % 4)

    def _open(self, request: Open) -> int:
        device = self._radio.device.device_id(request.device)
        if device not in (ADC, DAC):
            raise IiodError(errno.ENOENT, f"{device} has no buffer")
        channels = _channels(request.mask)
        if not 0 < request.samples <= BUFFER_LIMIT:
            raise IiodError(errno.ENOMEM if request.samples else errno.EINVAL, f"{request.samples} samples")
        if device == ADC:
            if self._stream is not None or request.cyclic:
                raise IiodError(errno.EBUSY if self._stream else errno.EINVAL, "open")
            self._stream = self._radio.open_receive(request.samples, channels)
            self._stream_mask = request.mask
        else:
            if self._buffer is not None:
                raise IiodError(errno.EBUSY, "open")
            self._buffer = self._radio.open_transmit(request.samples, channels, request.cyclic)
        return 0

    def _close_device(self, device: str) -> int:
        if (self._stream if device == ADC else self._buffer if device == DAC else None) is None:
            raise IiodError(errno.ENXIO, "not open")
        if device == ADC:
            self._close_stream()
        else:
            self._close_buffer()
        return 0

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._radio.close_receive(self._stream)
            self._stream = None

    def _close_buffer(self) -> None:
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None

    def _read_buffer(self, device: str, size: int) -> Iterator[Piece]:
        stream = self._stream if self._radio.device.device_id(device) == ADC else None
        if stream is None:
            raise IiodError(errno.EBADF, "not open")
        if size == 0:
            yield number_reply(0)
            return
        if size > BUFFER_LIMIT * 4:
            raise IiodError(errno.EINVAL, f"{size} bytes")
        self._radio.engine.supply(self._radio.name, stream, stream.frames(size))
        pieces = stream.read(size, self._cancelled)
        yield samples_header(size, self._stream_mask)
        yield from pieces

    def _accept_samples(self, device: str, size: int) -> bytes:
        buffer = self._buffer if self._radio.device.device_id(device) == DAC else None
        if buffer is None:
            raise IiodError(errno.EBADF, "not open")
        if not 0 < size <= buffer.samples * buffer.frame_bytes or size % buffer.frame_bytes:
            raise IiodError(errno.EINVAL, f"{size} bytes")
        self.parser.expect_payload(size)
        return number_reply(0)

    def _take_samples(self, data: bytes) -> bytes:
        if self._buffer is None:
            raise IiodError(errno.EBADF, "not open")
        self._buffer.push(data, self._wait)
        return number_reply(len(data))


def _channels(mask: str) -> tuple[int, ...]:
    """Channels of a mask as sent. Raises IiodError EINVAL."""
    try:
        value = int(mask, 16) if len(mask) == 8 else 0
    except ValueError:
        value = 0
    if value not in _CHANNELS:
        raise IiodError(errno.EINVAL, f"mask {mask}")
    return _CHANNELS[value]
