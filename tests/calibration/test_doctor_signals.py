"""Checks of a Pluto's signals, each shown to fail on a virtual one with that fault."""

import msgspec
import pytest
from doctor_lab import PROFILE, found
from needs import needs_pyadi

from calibration.doctor.together import joined
from radio.virtual.control_messages import Clear, DeadLo, SetCrystal, SetLink, Slow, Stuck

pytestmark = needs_pyadi


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (DeadLo(radio="bs", side="receive"), "an oscillator is dead"),
        (DeadLo(radio="bs", side="transmit"), "an oscillator is dead"),
        (Stuck(radio="bs", file="out_altvoltage1_TX_LO_powerdown"), "powerdown was set to 0, but it reads 1"),
    ],
)
def test_oscillators_that_are_dead_or_powered_down(patients_of, fault, told):
    plutos, station = patients_of()
    assert found("oscillators", station).verdict == "pass"
    plutos.control(fault)
    seen = found("oscillators", station)
    assert seen.verdict == "fail"
    assert told in seen.measured
    assert "power it off and on" in seen.mend
    plutos.control(Clear(radio="bs"))


def test_a_transmitter_that_blocks_its_own_receiver(patients_of):
    _, station = patients_of(leakage_db=15.0)
    seen = found("oscillators", station)
    assert (seen.verdict, seen.value) == ("warn", pytest.approx(15.0, abs=0.5))


@pytest.mark.parametrize(
    ("radio", "verdict"),
    [({}, "pass"), ({"transmit_image_db": -30.0}, "warn"), ({"receive_image_db": -15.0}, "fail")],
)
def test_strong_images(patients_of, radio, verdict):
    _, station = patients_of({"name": "bs"} | radio)
    seen = found("images", station)
    assert seen.verdict == verdict
    assert seen.value == pytest.approx(next(iter(radio.values()), -45.0), abs=1.0)


@pytest.mark.parametrize(("dc_dbfs", "verdict"), [(-50.0, "pass"), (-30.0, "warn"), (-12.0, "fail")])
def test_a_strong_dc_offset(patients_of, dc_dbfs, verdict):
    _, station = patients_of({"name": "bs", "receive_dc_dbfs": dc_dbfs})
    seen = found("dc", station)
    assert (seen.verdict, seen.value) == (verdict, pytest.approx(dc_dbfs, abs=1.0))


def test_a_link_that_does_not_carry_the_rate(patients_of):
    plutos, station = patients_of(paced=True)
    plutos.control(Slow(radio="bs", bytes_per_s=4e6))  # the rate needs 10e6
    seen = found("rate", station)
    plutos.control(Clear(radio="bs"))
    assert seen.verdict == "fail"
    assert seen.value > 20.0
    assert "gaps" in seen.measured


def test_a_loopback_that_does_not_hold_and_one_that_gives_every_sample_back(patients_of):
    plutos, station = patients_of()
    assert found("rate", station).measured == "524288 samples at 2.5 Msps: 0 gaps, 0.0 % lost"
    plutos.control(Stuck(radio="bs", file="debug/loopback"))
    seen = found("rate", station)
    assert seen.verdict == "fail"
    assert "does not give back" in seen.measured


def test_paths_and_crystals_between_two(patients_of):
    plutos, station, client = patients_of(names=("bs", "edge"))
    for patient in (station, client):
        patient.pluto.configure(patient.settings)

    def verdicts():
        return {seen.check: (seen.verdict, seen.value) for seen in joined(station, client)}

    assert verdicts()["link"] == ("pass", pytest.approx(50.0, abs=0.5))
    for loss_db, verdict in ((65.0, "warn"), (35.0, "fail")):
        plutos.control(SetLink(between=["bs", "edge"], loss_db=loss_db))
        assert verdicts()["link"] == (verdict, pytest.approx(loss_db, abs=0.5))
    for ppm, verdict in ((-20.0, "pass"), (30.0, "warn"), (-50.0, "fail")):
        plutos.control(SetCrystal(radio="edge", ppm=ppm))
        assert verdicts()["crystal"] == (verdict, pytest.approx(ppm, abs=0.1))
    client.profile = msgspec.structs.replace(PROFILE, connection="air")
    assert verdicts()["link"][0] == "pass"
    plutos.control(DeadLo(radio="edge", side="transmit"))
    assert (verdicts()["link"][0], verdicts()["crystal"][0]) == ("fail", "skip")
    assert joined(station, client)[0].mend.startswith("check cables")
    plutos.control(Stuck(radio="edge", file="out_altvoltage1_TX_LO_powerdown"))
    assert joined(station, client)[0].mend.startswith("power it off and on")
