"""Levels of radios on a desk: from digital to what they are at the antennas, and the path between them.

Nominal levels of a Pluto, plausible to some dB; a calibration replaces them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from protocol.configuration import RadioTable
from radio.channel.levels import TX_PEAK_AMPLITUDE


@dataclass(frozen=True)
class Levels:
    """Powers of digital full scale (a constant of amplitude 1)."""

    transmit_full_scale_dbm: float = 7.0
    """At transmit gain 0 dB."""
    receive_full_scale_dbm: float = 0.0
    """At receive gain 0 dB."""


def gain_offset_db(radio: RadioTable, transmitter: Levels, receiver: Levels) -> float:
    """What to add to a gain between digital powers (full power is 1) to get the channel's power gain, dB."""
    full_power_dbm = transmitter.transmit_full_scale_dbm + radio.transmit_gain_db - 20.0 * math.log10(TX_PEAK_AMPLITUDE)
    return receiver.receive_full_scale_dbm - radio.receive_gain_db - full_power_dbm
