"""Commands of the control port and their answers (docs/virtual-pluto.md): msgpack maps with the command in ``do``."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from protocol.errors import ProtocolError
from radio.virtual.configuration import Decibel, Ppm, RadioName

MESSAGE_LIMIT = 64 * 1024
"""Largest command, bytes; the socket drops larger ones."""


class _Command(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", kw_only=True):
    pass


class Advance(_Command, frozen=True, tag="advance", kw_only=True):
    """Stepped time: until ``radio`` (default: the first) took so many samples more."""

    samples: Annotated[int, Meta(ge=0)]
    radio: RadioName | None = None


class Status(_Command, frozen=True, tag="status", kw_only=True):
    """Counters of all radios."""


class Stall(_Command, frozen=True, tag="stall", kw_only=True):
    """The radio answers nothing until ``clear``."""

    radio: RadioName


class Slow(_Command, frozen=True, tag="slow", kw_only=True):
    """The radio sends no faster than this until ``clear``."""

    radio: RadioName
    bytes_per_s: Annotated[float, Meta(ge=1.0)]


class Drop(_Command, frozen=True, tag="drop", kw_only=True):
    """All connections of the radio end; new ones are welcome."""

    radio: RadioName


class Overflow(_Command, frozen=True, tag="overflow", kw_only=True):
    """So many samples never reach the receive buffers."""

    radio: RadioName
    samples: Annotated[int, Meta(ge=1, le=1 << 24)]


class DeadLo(_Command, frozen=True, tag="dead-lo", kw_only=True):
    """A local oscillator fails (every attribute still reads well), until ``clear``."""

    radio: RadioName
    side: Literal["receive", "transmit", "both"] = "both"


class Serial(_Command, frozen=True, tag="serial", kw_only=True):
    """The radio shows the serial number of another (until ``clear``)."""

    radio: RadioName
    same_as: RadioName


class Stuck(_Command, frozen=True, tag="stuck", kw_only=True):
    """Writing an attribute file (any device's) is answered as if it were done, and changes nothing, until ``clear``."""

    radio: RadioName
    file: Annotated[str, Meta(max_length=100)]


class Unplug(_Command, frozen=True, tag="unplug", kw_only=True):
    """The radio is gone: nobody listens at its address."""

    radio: RadioName


class Replug(_Command, frozen=True, tag="replug", kw_only=True):
    """The radio is back, as after power-up."""

    radio: RadioName


class Clear(_Command, frozen=True, tag="clear", kw_only=True):
    """End stall, slow link, dead oscillators, stuck attributes and borrowed serial number of the radio."""

    radio: RadioName


class SetLink(_Command, frozen=True, tag="link", kw_only=True):
    """Change the path between two radios (or of one to itself): its loss, or draw its fade afresh."""

    between: Annotated[list[RadioName], Meta(min_length=2, max_length=2)]
    loss_db: Decibel | None = None
    redraw: bool = False


class SetCrystal(_Command, frozen=True, tag="crystal", kw_only=True):
    """Change a radio's crystal error or temperature."""

    radio: RadioName
    ppm: Ppm | None = None
    temperature_c: Annotated[float, Meta(ge=-40.0, le=110.0)] | None = None


Command = (
    Advance | Status | Stall | Slow | Drop | Overflow | DeadLo | Serial | Stuck | Unplug | Replug | Clear | SetLink
    | SetCrystal
)  # fmt: skip


class RadioStatus(Struct, frozen=True):
    """Counters of one radio."""

    name: str
    uri: str
    serial: str
    plugged_in: bool
    connections: int
    samples: int
    """Taken by its receive clock."""
    overflows: int
    underflows: int
    clipped: int
    """Received samples at the end of the converter's range."""


class Answer(Struct, frozen=True):
    """Answer to every command; ``error`` says why nothing was done."""

    error: str | None = None
    time_s: float = 0.0
    """Of the medium, after the command."""
    radios: list[RadioStatus] = []


_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_answer_decoder = msgspec.msgpack.Decoder(Answer)


def encode(message: Command | Answer) -> bytes:
    """Bytes of a message."""
    return msgspec.msgpack.encode(message)


def decode_command(data: bytes) -> Command:
    """Check and read a command. Raises ProtocolError, one line."""
    try:
        command = _command_decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a command off the schema: {error}") from error
    for key in command.__struct_fields__:
        value = getattr(command, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ProtocolError(f"a command off the schema: {key} is {value}")
    return command


def decode_answer(data: bytes) -> Answer:
    """Check and read an answer. Raises ProtocolError, one line."""
    try:
        return _answer_decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"an answer off the schema: {error}") from error
