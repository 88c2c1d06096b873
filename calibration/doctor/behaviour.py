"""Checks of one Pluto by its attributes: what it is, whether it does what it is told, how warm it is."""

from __future__ import annotations

import re

from calibration import bench
from calibration.doctor.findings import Check, Seen
from calibration.doctor.patient import Patient
from protocol.errors import DataError, RadioError
from radio.pluto.attributes import RECEIVE_GAIN_MODE, TRANSMIT_CARRIER_OFF, TRANSMIT_GAIN, number_of
from radio.pluto.calibrated import calibrated
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB

OLDEST_FIRMWARE = (0, 32)
"""The oldest whose attributes the drivers were written against."""
HOTTEST_C = 80.0
WARMING_C_PER_MINUTE = 1.5
"""Drift at which a crystal is not worth measuring yet."""
_LEAST_INTERVAL_S = 5.0
_UNLOCK = {
    "C": "on the Pluto: fw_setenv compatible ad9364; reboot (beyond what its maker warrants)",
    "B": "on the Pluto: fw_setenv attr_name compatible; fw_setenv attr_val ad9364; reboot (beyond what is warranted)",
}


def look_how_it_was_found(patient: Patient) -> Seen:
    """Whether somebody left its transmitter on."""
    notes = patient.pluto.notes
    return Seen("warn", notes[0]) if notes else Seen("pass", "its transmitter was off")


def look_at_firmware(patient: Patient) -> Seen:
    """Version of the firmware."""
    found = patient.pluto.firmware
    match = re.match(r"v?(\d+)\.(\d+)", found)
    if match is None:
        return Seen("warn", f"firmware '{found}' is none of Analog Devices'")
    return Seen("warn" if (int(match[1]), int(match[2])) < OLDEST_FIRMWARE else "pass", f"firmware {found}")


def look_at_carrier_range(patient: Patient) -> Seen:
    """Whether the firmware allows the carrier; by what it says itself, not by a guess."""
    low_hz, high_hz = bench.carrier_range_hz(patient.pluto)
    attributes = patient.pluto.context_attributes
    model = attributes.get("ad9361-phy,model", "unknown chip")
    carrier_hz = patient.profile.carrier_hz
    text = f"{model}, {low_hz / 1e6:g} to {high_hz / 1e6:g} MHz"
    if low_hz <= carrier_hz <= high_hz:
        return Seen("pass", text, carrier_hz, "Hz")
    revision = "C" if "Rev.C" in attributes.get("hw_model", "") else "B"
    mend = f"choose another radio.carrier_hz, or {_UNLOCK[revision]}"
    return Seen("fail", f"{text}, but the carrier is {carrier_hz / 1e6:g} MHz", carrier_hz, "Hz", mend)


def look_at_gain_mode(patient: Patient) -> Seen:
    """Whether the gain can be taken from the chip."""
    found = patient.pluto.read_attribute(RECEIVE_GAIN_MODE).strip()
    patient.pluto.write_attribute(RECEIVE_GAIN_MODE, "manual")
    return Seen("pass", "manual" if found == "manual" else f"{found} when found, manual now")


def look_at_settings(patient: Patient) -> Seen:
    """Whether all that a run sets is accepted and reads back; the correction of a calibration among it."""
    try:
        settings = calibrated(patient.pluto, patient.settings, patient.calibrations).settings
    except DataError:  # which is told by the check of calibrations
        settings = patient.settings
    patient.pluto.configure(settings)
    rate = f"{settings.sample_rate_hz / 1e6:g} Msps at {settings.carrier_hz / 1e6:g} MHz"
    return Seen("pass", f"{rate}, all read back", settings.sample_rate_hz, "Hz")


def look_at_buffers(patient: Patient) -> Seen:
    """Whether the kernel takes enough buffers."""
    try:
        patient.pluto.set_kernel_buffers(bench.KERNEL_BUFFERS)
    except RadioError as error:
        if "errno 16" in str(error):
            return Seen("fail", "another program receives from it (EBUSY)", mend="end the other program")
        raise
    return Seen("pass", f"{bench.KERNEL_BUFFERS} kernel buffers", float(bench.KERNEL_BUFFERS))


def look_at_temperature(patient: Patient) -> Seen:
    """How warm it is, and how fast it gets warmer: since the examination began."""
    begin_s, begin_c = patient.temperatures[0]
    if (elapsed_s := patient.clock() - begin_s) < _LEAST_INTERVAL_S:
        patient.pause(_LEAST_INTERVAL_S - elapsed_s)
    patient.take_temperature()
    end_s, end_c = patient.temperatures[-1]
    slope = 60.0 * (end_c - begin_c) / (end_s - begin_s)
    chip_c = patient.pluto.temperature_c()
    text = f"{chip_c:.0f} degrees, {slope:+.1f} a minute"
    if chip_c > HOTTEST_C:
        return Seen("fail", text, chip_c, "degrees Celsius", "give it air, or a heat sink")
    return Seen("warn" if abs(slope) > WARMING_C_PER_MINUTE else "pass", text, chip_c, "degrees Celsius")


def look_at_calibration(patient: Patient) -> Seen:
    """Whether there is a calibration, and whether it can still be trusted."""
    if patient.calibrations is None:
        return Seen("skip", "the experiment uses none (radio.calibration_dir)")
    found = calibrated(patient.pluto, patient.settings, patient.calibrations)
    if found.calibration is None:
        return Seen("warn", f"none in {patient.calibrations}: levels are nominal, good to some dB")
    text = f"of {found.calibration.date}, {found.calibration.temperature_c:.0f} degrees"
    return Seen("warn", "; ".join(found.warnings)) if found.warnings else Seen("pass", text)


def look_whether_it_is_silent(patient: Patient) -> Seen:
    """Whether the transmitter is off after all that."""
    down = patient.pluto.read_attribute(TRANSMIT_CARRIER_OFF).strip() == "1"
    gain_db = number_of(patient.pluto.read_attribute(TRANSMIT_GAIN))
    if down and gain_db <= LEAST_TRANSMIT_GAIN_DB:
        return Seen("pass", f"carrier down, {gain_db:g} dB", gain_db, "dB")
    return Seen("fail", f"carrier {'down' if down else 'on'}, {gain_db:g} dB", gain_db, "dB")


FIRST_CHECKS: tuple[Check[Patient], ...] = (
    Check(
        "found-off", "a carrier left on by another program disturbs everybody near",
        "close the program that uses it, or wait for it", look_how_it_was_found,
    ),
    Check(
        "firmware", "older firmware lacks attributes that the drivers read back",
        "update: github.com/analogdevicesinc/plutosdr-fw/releases", look_at_firmware,
    ),
    Check("carrier-range", "a carrier out of range is refused, or never locks", "", look_at_carrier_range),
    Check(
        "gain-mode", "the chip's own gain control moves the gain that measurements take for fixed",
        "end other programs that use it; power it off and on", look_at_gain_mode,
    ),
    Check(
        "settings", "a setting that does not hold makes every measurement a wrong one",
        "power it off and on", look_at_settings,
    ),
    Check(
        "buffers", "with the kernel's default of four a busy machine loses samples from 3 Msps on",
        "power it off and on", look_at_buffers,
    ),
    Check(
        "calibration", "without one, carrier offset and gains are those of an average Pluto",
        "airtune calibrate, with the same experiment or the same --uri", look_at_calibration,
    ),
)  # fmt: skip
LAST_CHECKS: tuple[Check[Patient], ...] = (
    Check(
        "temperature", "a crystal drifts by some ppm until its Pluto is warm, which takes ten minutes",
        "leave it on for ten minutes, then look again", look_at_temperature,
    ),
    Check(
        "silent", "a carrier that stays on disturbs everybody near",
        "unplug it", look_whether_it_is_silent,
    ),
)  # fmt: skip
