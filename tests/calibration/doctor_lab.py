"""Virtual Plutos as patients of the doctor; time moves as samples are read."""

from __future__ import annotations

from calibration.doctor.behaviour import FIRST_CHECKS, LAST_CHECKS
from calibration.doctor.signals import SIGNAL_CHECKS
from protocol.configuration import RadioTable
from radio.calibration_file import Calibration, Crystal, now_utc
from radio.quantity import Quantity

PROFILE = RadioTable(driver="pluto", carrier_hz=915e6, sample_rate_hz=2.5e6, max_duty=1.0)
RATE_HZ = 2_500_000
CHECKS = {check.name: check for check in (*FIRST_CHECKS, *SIGNAL_CHECKS, *LAST_CHECKS)}


def time_of(plutos):
    """Arguments of whoever asks for the time of these Plutos, and waits in it."""
    return {"clock": plutos.engine.time_s, "pause": lambda seconds: plutos.advance(round(seconds * RATE_HZ))}


def found(name, patient):
    """What a check says of a patient that was configured."""
    if patient.pluto.settings is None and name not in ("settings", "gain-mode"):
        patient.pluto.configure(patient.settings)
    return CHECKS[name].examine(patient.name, patient)


def calibration_of(pluto, **changes):
    basics = {
        "serial": pluto.serial, "firmware": pluto.firmware, "date": now_utc().isoformat(), "temperature_c": 37.0,
        "carrier_hz": 915e6, "sample_rate_hz": 2.5e6,
        "crystal": Crystal(xo_correction_hz=40_000_123, left_ppm=Quantity(0.0, 0.0), reference="1044aa"),
    }  # fmt: skip
    return Calibration(**(basics | changes))
