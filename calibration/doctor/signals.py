"""Checks of one Pluto by what it sends and hears itself: oscillators, leakage, images, DC, and counted samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration import bench
from calibration.doctor.findings import UNSEEN_MEND, Check, Seen, graded
from calibration.doctor.patient import Patient
from calibration.pattern import PatternCount, count_pattern, counted_pattern
from calibration.tones import level_at
from radio.pluto.pluto import Pluto
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB

NOMINAL_FULL_SCALE_DB = 7.0
"""Digital full scale of the transmitter over that of the receiver, both at gain 0 dB."""
LEAST_ISOLATION_DB = 25.0
"""Below, a Pluto's own bursts overload its receiver."""
IMAGE_DB = (-35.0, -20.0)
"""Above is a warning, or a failure: an image counts as interference at the mirrored resource block."""
DC_DBFS = (-35.0, -20.0)
DEAF_GAIN_DB = 60.0
_COUNTED_SAMPLES = 1 << 19
_STREAM_BUFFER = 1 << 14
_LOOPBACK_S = 5.0


def look_at_leakage(patient: Patient) -> Seen:
    """The own tone in the own receiver: both oscillators live, and how much of it comes through."""
    pluto, transmit_db = patient.pluto, patient.profile.transmit_gain_db
    try:
        bench.start_tone(pluto, transmit_db)
        receive_db = bench.find_receive_gain(pluto)
        tone = None if receive_db is None else bench.hear_tone(pluto, receive_db)
    finally:
        pluto.stop_transmitting()
    if tone is None or receive_db is None:
        return Seen(
            "fail",
            "its own tone is not heard at any gain, though all reads well: an oscillator is dead",
            mend="power it off and on; if that does not help, it is broken",
        )
    isolation_db = NOMINAL_FULL_SCALE_DB + transmit_db + receive_db - bench.level_over_sent(tone).value
    verdict = graded(-isolation_db, -LEAST_ISOLATION_DB, 0.0)
    return Seen(verdict, f"{isolation_db:.0f} dB from its transmitter to its receiver", isolation_db, "dB")


def look_at_images(patient: Patient) -> Seen:
    """Mirror images of transmitter and receiver, and the leaking carrier, in the own tone."""
    pluto = patient.pluto
    shift_hz = bench.SHIFT * patient.profile.sample_rate_hz
    try:
        bench.start_tone(pluto, patient.profile.transmit_gain_db, shift_hz)
        receive_db = bench.find_receive_gain(pluto, shift_hz)
        levels = None if receive_db is None else bench.front_end(pluto, receive_db, shift_hz)
    finally:
        pluto.stop_transmitting()
        pluto.configure(patient.settings)
    if levels is None:
        return Seen("skip", "its own tone is not heard")
    worst_db = max(levels.transmit_image_db.value, levels.receive_image_db.value)
    text = (
        f"images {levels.transmit_image_db.value:.0f} dB sending, {levels.receive_image_db.value:.0f} dB receiving, "
        f"leaking carrier {levels.transmit_carrier_db.value:.0f} dB"
    )
    return Seen(graded(worst_db, *IMAGE_DB), text, worst_db, "dB")


def look_at_dc(patient: Patient) -> Seen:
    """DC offset of the receiver, nobody sending."""
    bench.set_receive_gain(patient.pluto, patient.profile.receive_gain_db)
    level = level_at(bench.receive(patient.pluto), patient.profile.sample_rate_hz, 0.0)
    return Seen(graded(level.value, *DC_DBFS), f"{level.value:.0f} dBFS", level.value, "dBFS")


def look_at_rate(patient: Patient) -> Seen:
    """Numbered samples through the digital loopback: does everything arrive at this rate?"""
    pluto = patient.pluto
    rate_hz = patient.profile.sample_rate_hz
    count, overflow = _count(pluto, patient)
    if count.wrong_samples > 0.5 * count.samples:
        return Seen("fail", "the digital loopback does not give back what was sent", mend="power it off and on")
    lost = count.lost_samples / (count.samples + count.lost_samples)
    text = f"{count.samples} samples at {rate_hz / 1e6:g} Msps: {count.gaps} gaps, {100.0 * lost:.1f} % lost"
    if count.whole and not overflow:
        return Seen("pass", text, 0.0, "%")
    return Seen("fail", text if count.gaps else f"{text}; the status register says overflow", 100.0 * lost, "%")


def _count(pluto: Pluto, patient: Patient) -> tuple[PatternCount, bool]:
    """A counted stream, and whether the status register tells of an overflow."""
    pluto.configure(replace(patient.settings, transmit_gain_db=LEAST_TRANSMIT_GAIN_DB))
    try:
        pluto.set_digital_loopback(True)
        pluto.transmit_cyclic(counted_pattern(), _LOOPBACK_S)
        pluto.start_receiving(_STREAM_BUFFER)
        pieces = [pluto.read() for _ in range(_COUNTED_SAMPLES // _STREAM_BUFFER)]
        overflow = pluto.take_overflow()
    finally:
        if pluto.connected:
            pluto.stop_receiving()
            pluto.stop_transmitting()
            pluto.set_digital_loopback(False)
            pluto.configure(patient.settings)
    return count_pattern(np.concatenate(pieces)), overflow


SIGNAL_CHECKS: tuple[Check[Patient], ...] = (
    Check(
        "oscillators", "a dead or powered-down oscillator is silence in which every attribute reads well",
        "keep antennas apart, or put attenuators into the cables", look_at_leakage, UNSEEN_MEND,
    ),
    Check(
        "images", "an image or leaking carrier is interference in the mirrored resource blocks",
        "leave quadrature tracking on; airtune keeps the middle of the band free", look_at_images, UNSEEN_MEND,
    ),
    Check("dc", "a strong DC offset takes the converter's range", "leave DC tracking on", look_at_dc, UNSEEN_MEND),
    Check(
        "rate", "USB 2 carries 4 to 6 Msps, and libiio does not tell what it lost",
        "a lower radio.sample_rate_hz, another USB port, or fewer programs beside it", look_at_rate, UNSEEN_MEND,
    ),
)  # fmt: skip
