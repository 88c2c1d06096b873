"""Switching a transmitter off, and whether it is: carrier down, full attenuation, tone generators at zero."""

from __future__ import annotations

from typing import Any

from radio.pluto.attributes import (
    DAC,
    TONES,
    TRANSMIT_CARRIER_OFF,
    TRANSMIT_GAIN,
    Attribute,
    number_of,
    open_context,
    read_attribute,
    write_attribute,
)
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB

OFF_TIMEOUT_S = 2.0


def transmitter_off(context: Any, uri: str) -> None:
    """Switch it off and read back that it is. Raises OSError, and RadioError if something does not obey."""
    write_attribute(context, TRANSMIT_GAIN, LEAST_TRANSMIT_GAIN_DB, uri)
    write_attribute(context, TRANSMIT_CARRIER_OFF, "1", uri)
    for channel in TONES:
        write_attribute(context, Attribute(DAC, channel, "raw", True), "0", uri)
        write_attribute(context, Attribute(DAC, channel, "scale", True, 1e-3), 0.0, uri)


def transmitter_off_at(uri: str) -> None:
    """The same over a connection of its own. Raises OSError, RadioError and MissingPartError."""
    transmitter_off(open_context(uri, OFF_TIMEOUT_S), uri)


def what_is_on(context: Any) -> list[str]:
    """What could make the transmitter radiate, in words; empty if it is off. Raises OSError and RadioError."""
    if read_attribute(context, TRANSMIT_CARRIER_OFF).strip() == "1":
        return []
    gain_db = number_of(read_attribute(context, TRANSMIT_GAIN))
    found = [f"carrier on at {gain_db:g} dB"]
    for channel in TONES:
        raw = read_attribute(context, Attribute(DAC, channel, "raw", True)).strip()
        scale = number_of(read_attribute(context, Attribute(DAC, channel, "scale", True)))
        if raw == "1" and scale > 0.0:
            found.append(f"tone generator {channel} at {scale:g}")
    return found
