"""Bytes to control messages and back: size limits, schema, and numbers that are numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from protocol.curves import curve_fault
from protocol.errors import ProtocolError
from protocol.messages import (
    CLIENT_MESSAGE_LIMIT,
    STATION_MESSAGE_LIMIT,
    ClientMessage,
    Plan,
    Ready,
    StationMessage,
)

ADAPTER_FRAME_BYTES = 2**20
_LARGEST_REAL = 1e30
_LARGEST_INTEGER = 2**63 - 1

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ClientMessage)
_station_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(StationMessage)


class Rejection(Struct, frozen=True):
    """Something a client sent was refused; ``reason`` is for people. The run goes on."""

    reason: str


def encode_from_client(message: ClientMessage) -> bytes:
    """Bytes of a client's message. Raises ProtocolError if the other side would refuse it."""
    data = _encoder.encode(message)
    decode_from_client(data)
    return data


def decode_from_client(data: bytes | memoryview) -> ClientMessage:
    """Check and read a client's message (at most 8 KiB). Raises ProtocolError, one line.

    Its texts end up on terminals: characters that do not print are replaced.
    """
    _check_size(len(data), CLIENT_MESSAGE_LIMIT)
    message: ClientMessage = _decode(data, _client_decoder)
    if isinstance(message, Ready):
        fault = curve_fault(message.curve)
        if fault:
            raise ProtocolError(f"ready.curve: {fault}")
    fields = ((key, getattr(message, key)) for key in message.__struct_fields__)
    return msgspec.structs.replace(message, **{key: _printable(text) for key, text in fields if isinstance(text, str)})


def encode_from_station(message: StationMessage) -> list[bytes | memoryview]:
    """Frames of a message of the base station. Raises ProtocolError if it is too large or holds NaN.

    A plan's adapter follows in frames of ``ADAPTER_FRAME_BYTES``, views of the very bytes of ``message``: one copy
    serves all clients, and on a slow road frame after frame tells that the other end is alive.
    """
    _check_numbers(message)
    frames: list[bytes | memoryview]
    if isinstance(message, Plan):
        adapter = memoryview(message.adapter)
        header = _encoder.encode(msgspec.structs.replace(message, adapter=b""))
        begins = range(0, len(adapter), ADAPTER_FRAME_BYTES)
        frames = [header, *(adapter[begin : begin + ADAPTER_FRAME_BYTES] for begin in begins)]
    else:
        frames = [_encoder.encode(message)]
    _check_size(sum(len(frame) for frame in frames), STATION_MESSAGE_LIMIT)
    return frames


def decode_from_station(frames: Sequence[bytes | memoryview]) -> StationMessage:
    """Check and read a message of the base station. Raises ProtocolError, one line."""
    if not frames:
        raise ProtocolError("a message of 0 frames")
    _check_size(sum(len(frame) for frame in frames), STATION_MESSAGE_LIMIT)
    message: StationMessage = _decode(frames[0], _station_decoder)
    if isinstance(message, Plan) and not message.adapter:
        return msgspec.structs.replace(message, adapter=b"".join(frames[1:]))
    if isinstance(message, Plan) or len(frames) > 1:
        raise ProtocolError("a message off the schema: further frames are a plan's adapter, and nothing else")
    return message


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ProtocolError(f"a message of {size} bytes; the limit is {limit}")


def _decode(data: bytes | memoryview, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
    try:
        message = decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a message off the schema: {_printable(str(error)[:200])}") from error
    _check_numbers(message)
    return message


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _check_numbers(value: Any, where: str = "") -> None:
    """Refuse NaN, infinities and absurd magnitudes anywhere inside (range limits of a schema let NaN through)."""
    if isinstance(value, float):
        if not math.isfinite(value) or abs(value) > _LARGEST_REAL:
            raise ProtocolError(f"{where} is {value}; it must be finite and at most {_LARGEST_REAL:g}")
    elif isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            raise ProtocolError(f"{where} is {value}; it must be at most {_LARGEST_INTEGER}")
    elif isinstance(value, list) and set(map(type, value)) == {int}:  # the blocks of a grant
        _check_numbers(max(value), where)
        _check_numbers(min(value), where)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item, where)
    elif isinstance(value, Struct):
        name = type(value).__name__.lower()
        for key in value.__struct_fields__:
            _check_numbers(getattr(value, key), f"{where or name}.{key}")
