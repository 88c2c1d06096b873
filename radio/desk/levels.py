"""Levels of radios on a desk: from digital to what they are at the antennas, and the path between them.

Nominal levels of a Pluto, plausible to some dB; the cable reference of a calibration replaces them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from protocol.configuration import Experiment, RadioTable
from radio.calibration_file import Calibration, gain_at, load_for
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.quantity import Quantity


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


def measured_offsets_db(experiment: Experiment, receiver: Calibration | None) -> dict[str, Quantity]:
    """The same by client and with its uncertainty, for those whose cable to this receiver was measured.

    docs/calibration.md says how.
    A client's own gain table counts if its file is here, too; at the gain it was calibrated with it changes nothing.
    Raises DataError if that file is damaged or another Pluto's.
    """
    radio = experiment.radio
    if receiver is None or receiver.receiver is None:
        return {}
    received_db = gain_at(receiver.receiver.gains, radio.receive_gain_db)
    offsets = {}
    for member in experiment.clients.members:
        reference = next((r for r in receiver.references if r.name in (member.name, member.uri)), None)
        if reference is not None:
            sender = load_for(reference.transmitter, radio.carrier_hz, Path(radio.calibration_dir))
            gains = [] if sender is None or sender.transmitter is None else sender.transmitter.gains
            sent_db = gain_at(gains, radio.transmit_gain_db)
            peaks_db = Quantity(20.0 * math.log10(TX_PEAK_AMPLITUDE), 0.0)
            offsets[member.name] = peaks_db.minus(sent_db).minus(received_db).minus(reference.offset_db)
    return offsets
