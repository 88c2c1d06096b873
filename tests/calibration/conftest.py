"""Virtual Plutos that several files of this folder share."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from doctor_lab import PROFILE, time_of

from calibration.doctor.patient import Patient
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Limits
from radio.virtual.testbed import virtual_plutos


@pytest.fixture
def patients_of():
    """Virtual Plutos ``bs`` and ``edge``, 50 dB apart, and those asked for as patients; all closed at the end."""
    with ExitStack() as stack:

        def open_patients(*radios, paced=False, profile=PROFILE, calibrations=None, names=("bs",), **medium):
            tables = {"medium": {"loss_db": 50.0, "crystal_ppm": 0.0} | medium, "radio": list(radios)}
            plutos = stack.enter_context(virtual_plutos(["bs", "edge"], tables, on_demand=not paced))

            def patient(name):
                pluto = stack.enter_context(Pluto(plutos.uri(name), Limits(max_transmit_gain_db=-20.0)))
                return Patient(name, pluto, profile, calibrations, **time_of(plutos))

            return plutos, *map(patient, names)

        yield open_patients
