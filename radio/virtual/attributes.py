"""What a Pluto shows: devices, channels, attributes, and the file behind each attribute.

Several attributes share a file (``sampling_frequency`` is one value seen through several channels), so values belong to
files, as they do in Linux' sysfs. The inventory is data: ``pluto.json``.
"""

from __future__ import annotations

import errno
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from protocol.errors import DataError
from radio.virtual.protocol import IiodError, Target

INVENTORY_FILE = Path(__file__).with_name("pluto.json")

PHY = "iio:device0"
"""The transceiver, ad9361-phy."""
XADC = "iio:device1"
DAC = "iio:device2"
"""The transmitter's converter and DDS, cf-ad9361-dds-core-lpc."""
ADC = "iio:device3"
"""The receiver's converter, cf-ad9361-lpc."""

_PREFIX = {"device": "", "debug": "debug/", "buffer": "buffer/"}


class ScanElement(Struct, frozen=True, forbid_unknown_fields=True):
    """Place of a channel in a buffer, and its format."""

    index: int
    format: str


class Channel(Struct, frozen=True, forbid_unknown_fields=True):
    """One channel: attributes by name, each with its file."""

    id: str
    type: Literal["input", "output"]
    attributes: dict[str, str]
    name: str | None = None
    scan: ScanElement | None = None


class Device(Struct, frozen=True, forbid_unknown_fields=True):
    """One device. ``values``: content of files at power-up; ``errors``: name of the errno for those that have none.

    Files of debug and buffer attributes begin with ``debug/`` and ``buffer/``.
    """

    id: str
    name: str
    channels: list[Channel]
    attributes: list[str]
    buffer_attributes: list[str]
    debug_attributes: list[str]
    errors: dict[str, str]
    values: dict[str, str]

    def channel(self, name: str, kind: str) -> Channel:
        """A channel by id or name. Raises IiodError ENXIO."""
        for channel in self.channels:
            if channel.type == kind and name in (channel.id, channel.name):
                return channel
        raise IiodError(errno.ENXIO, name)

    def attribute_files(self, target: Target) -> dict[str, str]:
        """File of each attribute of ``target``, by name, in order. Raises IiodError ENXIO."""
        if target.kind in ("input", "output"):
            return self.channel(target.channel or "", target.kind).attributes
        names = {"device": self.attributes, "debug": self.debug_attributes, "buffer": self.buffer_attributes}
        return {name: _PREFIX[target.kind] + name for name in names[target.kind]}


class Inventory(Struct, frozen=True, forbid_unknown_fields=True):
    """All devices of a Pluto."""

    source: str
    devices: list[Device]

    def device(self, name: str) -> Device:
        """A device by id or name. Raises IiodError ENODEV."""
        for device in self.devices:
            if name in (device.id, device.name):
                return device
        raise IiodError(errno.ENODEV, name)


@lru_cache(maxsize=1)
def pluto_inventory() -> Inventory:
    """The shipped inventory. Raises DataError if its file is missing or damaged."""
    try:
        return msgspec.json.decode(INVENTORY_FILE.read_bytes(), type=Inventory)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{INVENTORY_FILE}: the inventory of a Pluto cannot be read: {error}") from error
