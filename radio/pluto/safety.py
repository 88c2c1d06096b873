"""Switching a transmitter off, and whether it is: carrier down, full attenuation, tone generators at zero."""

from __future__ import annotations

from typing import Any

from protocol.errors import RadioError
from radio.pluto.attributes import (
    ANSWERS,
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
_OFF: list[tuple[Attribute, float | str]] = [
    (TRANSMIT_GAIN, LEAST_TRANSMIT_GAIN_DB),
    (TRANSMIT_CARRIER_OFF, "1"),
    *((Attribute(DAC, channel, "raw", True), "0") for channel in TONES),
    *((Attribute(DAC, channel, "scale", True, 1e-3), 0.0) for channel in TONES),
]


def transmitter_off(context: Any, uri: str) -> None:
    """Switch it off and read back that it is. Raises OSError, and RadioError if something does not obey.

    What comes after something that does not obey is switched off all the same.
    """
    disobeyed = [refusal for attribute, value in _OFF if (refusal := _refusal(context, attribute, value, uri))]
    if disobeyed:
        raise disobeyed[0]


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


def _refusal(context: Any, attribute: Attribute, value: float | str, uri: str) -> OSError | RadioError | None:
    """What a device says to a value, None if it took it. Raises OSError if it says nothing any more."""
    try:
        write_attribute(context, attribute, value, uri)
    except OSError as error:
        if error.errno not in ANSWERS:
            raise
        return error
    except RadioError as error:
        return error
    return None
