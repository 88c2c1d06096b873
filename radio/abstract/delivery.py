"""What a client radio hands over where there are no samples: the burst and the content of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from protocol.bursts import Burst, ClientName, Window

DELIVERY_LIMIT = 2**22
"""Largest delivery, bytes: the blocks of the longest burst with room to spare."""


class Delivery(Struct, frozen=True, forbid_unknown_fields=True):
    """A burst put on the air in a window."""

    window: Window
    client: ClientName
    burst: Burst
    blocks: Annotated[list[bytes], Meta(max_length=2048)]


_decoder = msgspec.msgpack.Decoder(Delivery)


def delivery_frame(window: Window, client: str, burst: Burst, blocks: Sequence[bytes]) -> bytes:
    """The message that carries a delivery."""
    return msgspec.msgpack.encode(Delivery(window, client, burst, list(blocks)))


def read_delivery(frame: bytes) -> Delivery | None:
    """The delivery in a message; None if it is not one."""
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, ValueError):
        return None
