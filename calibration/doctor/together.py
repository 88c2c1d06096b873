"""Checks of several Plutos: told apart by serial number, heard by the base station, crystals near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration import bench
from calibration.carrier import offset_of_tone
from calibration.doctor.findings import UNSEEN_MEND, Check, Finding, Seen, graded
from calibration.doctor.patient import Patient
from calibration.doctor.signals import NOMINAL_FULL_SCALE_DB
from protocol.errors import RadioError
from radio.pluto.attributes import XO_CORRECTION

SPECIFIED_PPM = 25.0
"""Crystals of two Plutos are further apart only if one is out of its specification, or was corrected wrongly."""
REACH_PPM = 45.0
"""First contact finds a client up to 50 ppm away; some is left for drift."""
CABLE_TOLERANCE_DB = 10.0
"""Path loss this far from what the profile says means another cable, attenuator or port."""


@dataclass(frozen=True)
class Heard:
    """What the base station heard of one client's tone."""

    ppm: float
    loss_db: float
    """By nominal levels."""


def twins(patients: Sequence[Patient]) -> list[Finding]:
    """Serial numbers, each radio's in turn."""
    first: dict[str, str] = {}
    findings = []
    for patient in patients:
        other = first.setdefault(patient.pluto.serial, patient.name)
        seen = Seen("pass", patient.pluto.serial)
        if other != patient.name:
            seen = Seen("fail", f"{patient.pluto.serial}, as {other}: one Pluto under two names, or two alike")
        findings.append(_SERIAL.examine(patient.name, seen))
    return findings


def heard_by(station: Patient, client: Patient) -> Heard | None:
    """Have a client send the tone and the base station look for it; None if it is not there. Raises RadioError."""
    transmit_db = client.profile.transmit_gain_db
    try:
        bench.start_tone(client.pluto, transmit_db)
        receive_db = bench.find_receive_gain(station.pluto)
        tone = None if receive_db is None else bench.hear_tone(station.pluto, receive_db)
    finally:
        if client.pluto.connected:
            client.pluto.stop_transmitting()
    if tone is None or receive_db is None:
        return None
    rate_hz, carrier_hz = station.profile.sample_rate_hz, station.profile.carrier_hz
    offset = offset_of_tone(tone.frequency_hz, bench.tone_hz(rate_hz), carrier_hz)
    loss_db = NOMINAL_FULL_SCALE_DB + transmit_db + receive_db - bench.level_over_sent(tone).value
    return Heard(offset.ppm.value, loss_db)


def joined(station: Patient, client: Patient) -> list[Finding]:
    """Path and crystal of a client, at the base station."""
    try:
        heard = heard_by(station, client)
    except RadioError as error:
        return [
            _LINK.examine(client.name, Seen("fail", str(error), mend=UNSEEN_MEND)),
            _CRYSTAL.skipped(client.name, "not heard"),
        ]
    if heard is None:
        return [
            _LINK.examine(client.name, Seen("fail", f"its tone is not heard at {station.name}")),
            _CRYSTAL.skipped(client.name, "not heard"),
        ]
    return [
        _LINK.examine(client.name, _judge_loss(heard.loss_db, client)),
        _CRYSTAL.examine(client.name, _judge_crystal(heard.ppm, client)),
    ]


def _judge_loss(loss_db: float, client: Patient) -> Seen:
    text = f"{loss_db:.0f} dB by nominal levels"
    profile = client.profile
    if profile.connection != "cable":
        return Seen("pass", text, loss_db, "dB")
    away_db = loss_db - profile.cable_attenuation_db
    if away_db < -CABLE_TOLERANCE_DB:
        return Seen("fail", f"{text}; the profile says {profile.cable_attenuation_db:g} dB", loss_db, "dB")
    verdict = graded(away_db, CABLE_TOLERANCE_DB, float("inf"))
    return Seen(verdict, text if verdict == "pass" else f"{text}; the profile says {profile.cable_attenuation_db:g} dB",
                loss_db, "dB")  # fmt: skip


def _judge_crystal(ppm: float, client: Patient) -> Seen:
    carrier_hz = client.profile.carrier_hz
    text = (
        f"{ppm:+.2f} ppm ({1e-6 * ppm * carrier_hz:+.0f} Hz) from the base station's, "
        f"xo_correction {client.pluto.read_attribute(XO_CORRECTION).strip()}"
    )
    return Seen(graded(abs(ppm), SPECIFIED_PPM, REACH_PPM), text, ppm, "ppm")


def _as_it_is(seen: Seen) -> Seen:
    return seen


_SERIAL: Check[Seen] = Check(
    "serial", "Plutos come with one address each for all, 192.168.2.1: two of them answer in turn",
    "in config.txt on its drive: ipaddr = 192.168.3.1, ipaddr_host = 192.168.3.10; eject the drive; use ip:192.168.3.1",
    _as_it_is,
)  # fmt: skip
_LINK: Check[Seen] = Check(
    "link", "a client that the base station does not hear sends nothing; less attenuation than thought harms receivers",
    "check cables, attenuators and ports (TX of the client, RX of the base station)", _as_it_is,
)  # fmt: skip
_CRYSTAL: Check[Seen] = Check(
    "crystal", "carrier and sample clock are as far off as the crystal; first contact reaches 50 ppm",
    "airtune calibrate, with the same experiment or the same --uri (it writes xo_correction)", _as_it_is,
)  # fmt: skip
TOGETHER_CHECKS = (_SERIAL, _LINK, _CRYSTAL)
