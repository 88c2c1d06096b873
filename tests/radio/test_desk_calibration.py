"""Drivers use a Pluto's calibration by themselves: its crystal's correction, and its gains in place of nominal ones."""

from contextlib import ExitStack

import msgspec
import numpy as np
import pytest
from needs import needs_pyadi
from radio_lab import RadioLab, lab_experiment, sounding

from protocol.errors import DataError
from radio.calibration_file import (
    CableReference,
    Calibration,
    Crystal,
    Gain,
    Receiver,
    Transmitter,
    load_for,
    now_utc,
    save,
)
from radio.drivers import open_base_station_radio
from radio.quantity import Quantity
from radio.virtual.testbed import virtual_plutos

pytestmark = needs_pyadi
LOSS_DB = 61.0
RADIOS = [
    {"name": "bs", "crystal_ppm": 0.0, "receive_full_scale_dbm": -1.5, "receive_gain_errors_db": [[30, 0], [50, 0.8]]},
    {"name": "c0", "crystal_ppm": 6.0, "transmit_full_scale_dbm": 9.0, "transmit_gain_errors_db": [[-20, -0.5]]},
]  # fmt: skip


def sure(value):
    return Quantity(value, 0.1)


@pytest.fixture
def desk(tmp_path):
    """Two virtual Plutos in wall-clock time, what their experiment says, and true calibrations of both."""
    with ExitStack() as stack:
        tables = {"medium": {"loss_db": LOSS_DB}, "radio": RADIOS}
        plutos = stack.enter_context(virtual_plutos(["bs", "c0"], tables))
        serial = {name: server.radio.device.serial for name, server in plutos.servers.items()}
        basics = {"firmware": "v0.38", "date": now_utc().isoformat(), "temperature_c": 37.0}
        basics |= {"carrier_hz": 2.4e9, "sample_rate_hz": 2e6}
        levels = {"image_db": sure(-45.0), "dc_dbfs": sure(-50.0), "noise_dbfs_hz": sure(-110.0), "noise_gain_db": 60.0}
        crystal = Crystal(xo_correction_hz=40_000_240, left_ppm=sure(0.0), reference=serial["bs"])
        gains = [Gain(setting_db=-20.0, gain_db=sure(-20.5))]
        client = Transmitter(gains=gains, image_db=sure(-45.0), carrier_db=sure(-41.0))
        save(Calibration(serial=serial["c0"], crystal=crystal, transmitter=client, **basics), tmp_path)
        cable = CableReference(
            name="c0", transmitter=serial["c0"], attenuation_db=sure(50.0), offset_db=sure(9.0 - -1.5),
            date=basics["date"],
        )  # fmt: skip
        gains = [Gain(setting_db=30.0, gain_db=sure(30.0)), Gain(setting_db=50.0, gain_db=sure(50.8))]
        station = Calibration(
            serial=serial["bs"], receiver=Receiver(gains=gains, **levels), references=[cable], **basics
        )
        save(station, tmp_path)
        radio = {
            "uri": plutos.uri("bs"), "receive_gain_db": 50.0, "transmit_gain_db": -20.0, "max_duty": 1.0,
            "calibration_dir": str(tmp_path),
        }  # fmt: skip
        members = [{"name": "c0", "uri": plutos.uri("c0")}]
        yield plutos, lab_experiment((), "pluto", radio=radio, clients={"members": members}), tmp_path, serial


def test_a_sounding_s_gain_and_carrier_are_those_that_were_calibrated(desk):
    plutos, experiment, directory, _ = desk
    nominal_gain_db = -LOSS_DB + (9.0 - 0.5 - 7.0) + (0.8 + 1.5)
    calibrated = str(directory), -LOSS_DB, 0.0, pytest.approx(0.1 * 3**0.5)
    for directory_name, gain_db, cfo_hz, level_db in (calibrated, ("", nominal_gain_db, 6.0 * 2400.0, None)):
        radio = msgspec.structs.replace(experiment.radio, calibration_dir=directory_name)
        plutos.server("c0").radio.power_up()
        lab = RadioLab(msgspec.structs.replace(experiment, radio=radio))
        try:
            burst = sounding("c0", acquisition=True)
            heard = next(
                r.bursts[0] for r in (lab.hear("acquisition", [burst])[0] for _ in range(5)) if r.bursts[0].detected
            )
        finally:
            lab.close()
        assert np.mean(heard.gain_db) == pytest.approx(gain_db, abs=0.5)
        assert heard.cfo_hz == pytest.approx(cfo_hz, abs=40.0)
        assert heard.level_uncertainty_db == level_db


def test_a_calibration_of_another_pluto_is_refused_before_anything_is_received(desk):
    _, experiment, directory, serial = desk
    (directory / f"{serial['bs']}-2400.000MHz.json").unlink()
    (directory / f"{serial['c0']}-2400.000MHz.json").rename(directory / f"{serial['bs']}-2400.000MHz.json")
    with pytest.raises(DataError, match=f"is the calibration of Pluto {serial['c0']}, not of {serial['bs']}"):
        open_base_station_radio(experiment)


def test_what_speaks_against_a_calibration_is_among_the_first_window_s_warnings(desk):
    plutos, experiment, directory, serial = desk
    station = load_for(serial["bs"], 2.4e9, directory)
    save(msgspec.structs.replace(station, temperature_c=10.0), directory)
    lab = RadioLab(experiment)
    try:
        assert lab.base_station.identity == {
            "uri": plutos.uri("bs"), "serial": serial["bs"], "firmware": "v0.38", "calibration": station.date
        }  # fmt: skip
        report, _ = lab.hear("silent")
    finally:
        lab.close()
    assert any("was calibrated at 10 degrees, it has 37 now" in warning for warning in report.warnings)
