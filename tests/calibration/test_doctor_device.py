"""Checks of a Pluto's address, device and settings, each shown to fail on a virtual one with that fault."""

import json
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from doctor_lab import CHECKS, PROFILE, calibration_of, found
from needs import needs_pyadi

from calibration import bench
from calibration.doctor.contact import URI_CHECK, Address, reach
from calibration.doctor.patient import Patient
from calibration.doctor.together import twins
from radio.calibration_file import now_utc, save
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Limits
from radio.virtual.control_messages import Clear, Serial, Stuck, Unplug

pytestmark = needs_pyadi


@pytest.mark.parametrize(
    ("uri", "verdict", "mend"),
    [
        ("ip:192.168.2.1", "pass", ""), ("usb:1.5.5", "pass", ""), ("usb:", "pass", ""),
        ("ip=192.168.2.1", "fail", "write ip:192.168.2.1"), ("192.168.2.1", "fail", "write it as"),
    ],
)  # fmt: skip
def test_a_uri_that_libiio_would_not_understand(uri, verdict, mend):
    seen = URI_CHECK.examine("bs", Address("bs", uri))
    assert seen.verdict == verdict
    assert seen.mend.startswith(mend)


def test_a_pluto_that_does_not_answer_and_one_that_does_not_obey(patients_of):
    plutos, _ = patients_of()
    plutos.control(Unplug(radio="edge"))
    seen, pluto = reach(Address("edge", plutos.uri("edge")), Limits())
    assert (seen.verdict, pluto) == ("fail", None)
    assert "Connection refused (errno 111)" in seen.measured
    plutos.server("edge").plug_in()
    plutos.control(Stuck(radio="edge", file="out_altvoltage1_TX_LO_powerdown"))
    seen, _ = reach(Address("edge", plutos.uri("edge")), Limits())
    assert seen.verdict == "fail"
    assert "powerdown was set to 1, but it reads 0" in seen.measured
    plutos.control(Clear(radio="edge"))
    seen, pluto = reach(Address("edge", plutos.uri("edge")), Limits())
    assert seen.verdict == "pass"
    pluto.close()


def test_two_plutos_with_one_serial_number(patients_of):
    plutos, station, client = patients_of(names=("bs", "edge"))
    assert [seen.verdict for seen in twins([station, client])] == ["pass", "pass"]
    client.pluto.close()
    plutos.control(Serial(radio="edge", same_as="bs"))
    with Pluto(plutos.uri("edge")) as twin:
        first, second = twins([station, Patient("edge", twin, PROFILE)])
    assert (first.verdict, second.verdict) == ("pass", "fail")
    assert "as bs" in second.measured
    assert "ipaddr" in second.mend


def test_a_transmitter_that_somebody_left_on(patients_of):
    plutos, station = patients_of()
    seen = found("found-off", station)
    assert seen.verdict == "warn"
    assert "carrier on at -10 dB" in seen.measured
    station.pluto.close()
    with Pluto(plutos.uri("bs")) as again:
        assert found("found-off", Patient("bs", again, PROFILE)).verdict == "pass"


@pytest.mark.parametrize(("firmware", "verdict"), [("v0.38", "pass"), ("v0.31", "warn"), ("tezuka", "warn")])
def test_old_and_foreign_firmware(patients_of, firmware, verdict):
    _, station = patients_of({"name": "bs", "firmware": firmware})
    assert found("firmware", station).verdict == verdict


def test_a_carrier_that_the_firmware_does_not_allow(patients_of):
    profile = msgspec.structs.replace(PROFILE, carrier_hz=5.8e9)
    _, locked, unlocked = patients_of({"name": "edge", "chip": "ad9364"}, profile=profile, names=("bs", "edge"))
    seen = CHECKS["carrier-range"].examine("bs", locked)
    assert (seen.verdict, seen.measured) == ("fail", "ad9363a, 325 to 3800 MHz, but the carrier is 5800 MHz")
    assert "fw_setenv compatible ad9364" in seen.mend
    assert CHECKS["carrier-range"].examine("edge", unlocked).verdict == "pass"


def test_a_gain_that_stays_with_the_chip(patients_of):
    plutos, station = patients_of()
    plutos.control(Stuck(radio="bs", file="in_voltage0_gain_control_mode"))
    seen = found("gain-mode", station)
    assert seen.verdict == "fail"
    assert "gain_control_mode was set to manual, but it reads slow_attack" in seen.measured
    plutos.control(Clear(radio="bs"))
    assert found("gain-mode", station).measured == "slow_attack when found, manual now"
    assert found("gain-mode", station).measured == "manual"


@pytest.mark.parametrize(
    ("file", "profile", "told"),
    [
        ("out_altvoltage0_RX_LO_frequency", PROFILE, "altvoltage0 frequency was set to 915000000, but it reads 24"),
        (None, msgspec.structs.replace(PROFILE, sample_rate_hz=4e5), "sampling_frequency = 400000 is refused"),
    ],
)
def test_settings_that_do_not_hold(patients_of, file, profile, told):
    plutos, station = patients_of(profile=profile)
    if file is not None:
        plutos.control(Stuck(radio="bs", file=file))
    seen = found("settings", station)
    assert seen.verdict == "fail"
    assert told in seen.measured


def test_a_receiver_that_another_program_uses(patients_of):
    plutos, station = patients_of()
    with Pluto(plutos.uri("bs")) as other:
        other.configure(station.settings)
        station.pluto.configure(station.settings)
        other.start_receiving()
        seen = found("buffers", station)
        other.stop_receiving()
        assert (seen.verdict, seen.mend) == ("fail", "end the other program")
        assert found("buffers", station).verdict == "pass"


@pytest.mark.parametrize(
    ("radio", "verdict"),
    [
        ({"temperature_c": 60.0}, "pass"),
        ({"temperature_c": 45.0, "warm_up_c": 20.0, "warm_up_s": 200.0}, "warn"),
        ({"temperature_c": 88.0}, "fail"),
    ],
)
def test_a_pluto_that_is_hot_or_still_gets_warm(patients_of, radio, verdict):
    _, station = patients_of({"name": "bs"} | radio)
    station.take_temperature()
    seen = found("temperature", station)
    assert seen.verdict == verdict
    assert seen.unit == "degrees Celsius"


def test_a_carrier_that_stays_on(patients_of):
    _, station = patients_of()
    assert found("silent", station).verdict == "pass"
    bench.start_tone(station.pluto, -20.0)
    seen = found("silent", station)
    assert (seen.verdict, seen.measured) == ("fail", "carrier on, -20 dB")
    station.pluto.stop_transmitting()


def test_a_calibration_that_is_missing_old_or_another_s(patients_of, tmp_path):
    _, station = patients_of(calibrations=tmp_path)
    assert found("calibration", station).measured == f"none in {tmp_path}: levels are nominal, good to some dB"
    path = save(calibration_of(station.pluto), tmp_path)
    assert found("calibration", station).verdict == "pass"
    assert found("settings", station).verdict == "pass"
    assert bench.xo_correction_hz(station.pluto) == 40_000_123
    save(calibration_of(station.pluto, date=(now_utc() - timedelta(days=90)).isoformat()), tmp_path)
    old = found("calibration", station)
    assert (old.verdict, old.mend) == ("warn", "airtune calibrate, with the same experiment or the same --uri")
    save(calibration_of(station.pluto, temperature_c=12.0), tmp_path)
    assert "at 12 degrees, it has 37 now" in found("calibration", station).measured
    other = json.loads(path.read_text()) | {"serial": "1044ff"}
    path.write_text(json.dumps(other))
    assert found("calibration", station).verdict == "fail"
    assert "is the calibration of Pluto 1044ff" in found("calibration", station).measured
    assert found("calibration", replace(station, calibrations=None)).verdict == "skip"
