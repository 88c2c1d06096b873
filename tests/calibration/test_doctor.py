"""Checks of Plutos, each shown to fail on a virtual one with that fault; time moves as samples are read."""

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from needs import needs_pyadi

from calibration import bench
from calibration.doctor.behaviour import FIRST_CHECKS, LAST_CHECKS
from calibration.doctor.contact import URI_CHECK, Address, reach
from calibration.doctor.examination import Examination, check_names, scan
from calibration.doctor.host import Host
from calibration.doctor.libraries import Needs
from calibration.doctor.patient import Patient
from calibration.doctor.signals import SIGNAL_CHECKS
from calibration.doctor.together import joined, twins
from protocol.configuration import RadioTable
from protocol.errors import ConfigurationError
from radio.calibration_file import Calibration, Crystal, now_utc, save
from radio.pluto.pluto import Pluto
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, Limits
from radio.quantity import Quantity
from radio.virtual.control_messages import Clear, DeadLo, Drop, Serial, SetCrystal, SetLink, Slow, Stuck, Unplug
from radio.virtual.testbed import virtual_plutos

pytestmark = needs_pyadi
PROFILE = RadioTable(driver="pluto", carrier_hz=915e6, sample_rate_hz=2.5e6, max_duty=1.0)
RATE_HZ = 2_500_000
CHECKS = {check.name: check for check in (*FIRST_CHECKS, *SIGNAL_CHECKS, *LAST_CHECKS)}


@pytest.fixture
def bench_of():
    """Virtual Plutos ``bs`` and ``edge``, 50 dB apart, and those asked for as patients; all closed at the end."""
    with ExitStack() as stack:

        def open_bench(*radios, paced=False, profile=PROFILE, calibrations=None, names=("bs",), **medium):
            tables = {"medium": {"loss_db": 50.0, "crystal_ppm": 0.0} | medium, "radio": list(radios)}
            plutos = stack.enter_context(virtual_plutos(["bs", "edge"], tables, on_demand=not paced))

            def patient(name):
                pluto = stack.enter_context(Pluto(plutos.uri(name), Limits(max_transmit_gain_db=-20.0)))
                return Patient(
                    name, pluto, profile, calibrations,
                    clock=plutos.engine.time_s, pause=lambda seconds: plutos.advance(round(seconds * RATE_HZ)),
                )  # fmt: skip

            return plutos, *map(patient, names)

        yield open_bench


def found(name, patient):
    """What a check says of a patient that was configured."""
    if patient.pluto.settings is None and name not in ("settings", "gain-mode"):
        patient.pluto.configure(patient.settings)
    return CHECKS[name].examine(patient.name, patient)


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


def test_a_pluto_that_does_not_answer_and_one_that_does_not_obey(bench_of):
    plutos, _ = bench_of()
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


def test_two_plutos_with_one_serial_number(bench_of):
    plutos, station, client = bench_of(names=("bs", "edge"))
    assert [seen.verdict for seen in twins([station, client])] == ["pass", "pass"]
    client.pluto.close()
    plutos.control(Serial(radio="edge", same_as="bs"))
    with Pluto(plutos.uri("edge")) as twin:
        first, second = twins([station, Patient("edge", twin, PROFILE)])
    assert (first.verdict, second.verdict) == ("pass", "fail")
    assert "as bs" in second.measured
    assert "ipaddr" in second.mend


def test_a_transmitter_that_somebody_left_on(bench_of):
    plutos, station = bench_of()
    seen = found("found-off", station)
    assert seen.verdict == "warn"
    assert "carrier on at -10 dB" in seen.measured
    station.pluto.close()
    with Pluto(plutos.uri("bs")) as again:
        assert found("found-off", Patient("bs", again, PROFILE)).verdict == "pass"


@pytest.mark.parametrize(("firmware", "verdict"), [("v0.38", "pass"), ("v0.31", "warn"), ("tezuka", "warn")])
def test_old_and_foreign_firmware(bench_of, firmware, verdict):
    _, station = bench_of({"name": "bs", "firmware": firmware})
    assert found("firmware", station).verdict == verdict


def test_a_carrier_that_the_firmware_does_not_allow(bench_of):
    profile = msgspec.structs.replace(PROFILE, carrier_hz=5.8e9)
    _, locked, unlocked = bench_of({"name": "edge", "chip": "ad9364"}, profile=profile, names=("bs", "edge"))
    seen = CHECKS["carrier-range"].examine("bs", locked)
    assert (seen.verdict, seen.measured) == ("fail", "ad9363a, 325 to 3800 MHz, but the carrier is 5800 MHz")
    assert "fw_setenv compatible ad9364" in seen.mend
    assert CHECKS["carrier-range"].examine("edge", unlocked).verdict == "pass"


def test_a_gain_that_stays_with_the_chip(bench_of):
    plutos, station = bench_of()
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
def test_settings_that_do_not_hold(bench_of, file, profile, told):
    plutos, station = bench_of(profile=profile)
    if file is not None:
        plutos.control(Stuck(radio="bs", file=file))
    seen = found("settings", station)
    assert seen.verdict == "fail"
    assert told in seen.measured


def test_a_receiver_that_another_program_uses(bench_of):
    plutos, station = bench_of()
    with Pluto(plutos.uri("bs")) as other:
        other.configure(station.settings)
        station.pluto.configure(station.settings)
        other.start_receiving()
        seen = found("buffers", station)
        other.stop_receiving()
        assert (seen.verdict, seen.mend) == ("fail", "end the other program")
        assert found("buffers", station).verdict == "pass"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (DeadLo(radio="bs", side="receive"), "an oscillator is dead"),
        (DeadLo(radio="bs", side="transmit"), "an oscillator is dead"),
        (Stuck(radio="bs", file="out_altvoltage1_TX_LO_powerdown"), "powerdown was set to 0, but it reads 1"),
    ],
)
def test_oscillators_that_are_dead_or_powered_down(bench_of, fault, told):
    plutos, station = bench_of()
    assert found("oscillators", station).verdict == "pass"
    plutos.control(fault)
    seen = found("oscillators", station)
    assert seen.verdict == "fail"
    assert told in seen.measured
    assert "power it off and on" in seen.mend
    plutos.control(Clear(radio="bs"))


def test_a_transmitter_that_blocks_its_own_receiver(bench_of):
    _, station = bench_of(leakage_db=15.0)
    seen = found("oscillators", station)
    assert (seen.verdict, seen.value) == ("warn", pytest.approx(15.0, abs=0.5))


@pytest.mark.parametrize(
    ("radio", "verdict"),
    [({}, "pass"), ({"transmit_image_db": -30.0}, "warn"), ({"receive_image_db": -15.0}, "fail")],
)
def test_strong_images(bench_of, radio, verdict):
    _, station = bench_of({"name": "bs"} | radio)
    seen = found("images", station)
    assert seen.verdict == verdict
    assert seen.value == pytest.approx(next(iter(radio.values()), -45.0), abs=1.0)


@pytest.mark.parametrize(("dc_dbfs", "verdict"), [(-50.0, "pass"), (-30.0, "warn"), (-12.0, "fail")])
def test_a_strong_dc_offset(bench_of, dc_dbfs, verdict):
    _, station = bench_of({"name": "bs", "receive_dc_dbfs": dc_dbfs})
    seen = found("dc", station)
    assert (seen.verdict, seen.value) == (verdict, pytest.approx(dc_dbfs, abs=1.0))


def test_a_link_that_does_not_carry_the_rate(bench_of):
    plutos, station = bench_of(paced=True)
    plutos.control(Slow(radio="bs", bytes_per_s=4e6))  # the rate needs 10e6
    seen = found("rate", station)
    plutos.control(Clear(radio="bs"))
    assert seen.verdict == "fail"
    assert seen.value > 20.0
    assert "gaps" in seen.measured


def test_a_loopback_that_does_not_hold_and_one_that_gives_every_sample_back(bench_of):
    plutos, station = bench_of()
    assert found("rate", station).measured == "524288 samples at 2.5 Msps: 0 gaps, 0.0 % lost"
    plutos.control(Stuck(radio="bs", file="debug/loopback"))
    seen = found("rate", station)
    assert seen.verdict == "fail"
    assert "does not give back" in seen.measured


@pytest.mark.parametrize(
    ("radio", "verdict"),
    [
        ({"temperature_c": 60.0}, "pass"),
        ({"temperature_c": 45.0, "warm_up_c": 20.0, "warm_up_s": 200.0}, "warn"),
        ({"temperature_c": 88.0}, "fail"),
    ],
)
def test_a_pluto_that_is_hot_or_still_gets_warm(bench_of, radio, verdict):
    _, station = bench_of({"name": "bs"} | radio)
    station.take_temperature()
    seen = found("temperature", station)
    assert seen.verdict == verdict
    assert seen.unit == "degrees Celsius"


def test_a_carrier_that_stays_on(bench_of):
    _, station = bench_of()
    assert found("silent", station).verdict == "pass"
    bench.start_tone(station.pluto, -20.0)
    seen = found("silent", station)
    assert (seen.verdict, seen.measured) == ("fail", "carrier on, -20 dB")
    station.pluto.stop_transmitting()


def calibration_of(pluto, **changes):
    basics = {
        "serial": pluto.serial, "firmware": pluto.firmware, "date": now_utc().isoformat(), "temperature_c": 37.0,
        "carrier_hz": 915e6, "sample_rate_hz": 2.5e6,
        "crystal": Crystal(xo_correction_hz=40_000_123, left_ppm=Quantity(0.0, 0.0), reference="1044aa"),
    }  # fmt: skip
    return Calibration(**(basics | changes))


def test_a_calibration_that_is_missing_old_or_another_s(bench_of, tmp_path):
    _, station = bench_of(calibrations=tmp_path)
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


def test_paths_and_crystals_between_two(bench_of):
    plutos, station, client = bench_of(names=("bs", "edge"))
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


def examination(plutos, tmp_path, **parts):
    uris = {name: plutos.uri(name) for name in plutos.servers}
    host = Host(runs=tmp_path, synchronised=lambda: True)
    return Examination(
        host, Needs(plutos=True), PROFILE, uris,
        clock=plutos.engine.time_s, pause=lambda seconds: plutos.advance(round(seconds * RATE_HZ)), **parts,
    )  # fmt: skip


def test_healthy_plutos_pass_everything_and_are_silent_afterwards(bench_of, tmp_path):
    plutos, station, client = bench_of(names=("bs", "edge"))
    for patient in (station, client):
        save(calibration_of(patient.pluto), tmp_path)
        patient.pluto.close()
    findings = list(examination(plutos, tmp_path, calibrations=tmp_path).findings())
    assert [f for f in findings if f.verdict in ("warn", "fail")] == []
    assert {f.check for f in findings} == set(check_names())
    for server in plutos.servers.values():
        assert not server.radio.front_end.settings.transmit_lo_on


def test_without_transmitting_nothing_is_sent_and_the_rest_is_looked_at(bench_of, tmp_path, monkeypatch):
    plutos, _ = bench_of()
    monkeypatch.setattr(Pluto, "begin_transmission", None)
    findings = list(examination(plutos, tmp_path, transmit=False).findings())
    skipped = {f.check for f in findings if f.verdict == "skip" and f.subject == "edge"}
    assert skipped == {check.name for check in SIGNAL_CHECKS} | {"calibration"}
    assert not {"link", "crystal"} & {f.check for f in findings}


def test_a_pluto_that_goes_away_is_told_once_and_the_others_are_examined(bench_of, tmp_path):
    plutos, _ = bench_of()
    findings = []
    for finding in examination(plutos, tmp_path).findings():
        findings.append(finding)
        if (finding.check, finding.subject) == ("serial", "edge"):
            plutos.control(Drop(radio="bs"))
    of_station = [f for f in findings if f.subject == "bs"]
    assert [f.verdict for f in of_station].count("fail") == 1
    assert of_station[-1].measured == "the connection was lost"
    assert next(f for f in findings if (f.check, f.subject) == ("rate", "edge")).verdict == "pass"


def test_without_its_base_station_nobody_is_taken_for_it(bench_of, tmp_path, monkeypatch):
    plutos, _ = bench_of()
    monkeypatch.setattr("calibration.doctor.examination.SIGNAL_CHECKS", ())
    asked = examination(plutos, tmp_path)
    findings = list(replace(asked, uris={"gone": "ip:127.0.0.250", **asked.uris}).findings())
    assert [f.verdict for f in findings if f.subject == "gone"] == ["pass", "fail"]
    assert not {"link", "crystal"} & {f.check for f in findings}


def test_a_scan_shows_who_is_on_the_band(bench_of):
    plutos, station = bench_of()
    with Pluto(plutos.uri("edge"), Limits(max_transmit_gain_db=-20.0)) as other:
        other.configure(replace(station.settings, carrier_hz=918e6))
        bench.start_tone(other, -20.0)
        listener = Pluto(plutos.uri("bs"), Limits(max_transmit_gain_db=LEAST_TRANSMIT_GAIN_DB))
        seen = scan(listener, PROFILE, 910e6, 926e6)
        listener.close()
    busy = seen.frequency_hz[seen.occupied > 0.9]
    assert len(busy) in range(1, 4)  # the tone between two channels, and the carrier that leaks beside it
    assert seen.frequency_hz[seen.power_dbfs.argmax()] == pytest.approx(918e6 + bench.tone_hz(2.5e6), abs=7e4)
    with pytest.raises(ConfigurationError, match="at most 512 MHz"):
        scan(station.pluto, PROFILE, 900e6, 1.9e9)


def test_every_check_has_its_row_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert rows == check_names()
