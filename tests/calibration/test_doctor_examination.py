"""The doctor's examination of several Plutos, from the first check to the last, and its scan of a band."""

from dataclasses import replace
from pathlib import Path

import pytest
from doctor_lab import PROFILE, calibration_of, time_of
from needs import needs_pyadi

from calibration import bench
from calibration.doctor.examination import Examination, check_names, scan
from calibration.doctor.host import Host
from calibration.doctor.libraries import Needs
from calibration.doctor.signals import SIGNAL_CHECKS
from protocol.errors import ConfigurationError
from radio.calibration_file import save
from radio.pluto.pluto import Pluto
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, Limits
from radio.virtual.control_messages import Drop

pytestmark = needs_pyadi


def examination(plutos, tmp_path, **parts):
    uris = {name: plutos.uri(name) for name in plutos.servers}
    host = Host(runs=tmp_path, synchronised=lambda: True)
    return Examination(host, Needs(plutos=True), PROFILE, uris, **time_of(plutos), **parts)


def test_healthy_plutos_pass_everything_and_are_silent_afterwards(patients_of, tmp_path):
    plutos, station, client = patients_of(names=("bs", "edge"))
    for patient in (station, client):
        save(calibration_of(patient.pluto), tmp_path)
        patient.pluto.close()
    findings = list(examination(plutos, tmp_path, calibrations=tmp_path).findings())
    assert [f for f in findings if f.verdict in ("warn", "fail")] == []
    assert {f.check for f in findings} == set(check_names())
    for server in plutos.servers.values():
        assert not server.radio.front_end.settings.transmit_lo_on


def test_without_transmitting_nothing_is_sent_and_the_rest_is_looked_at(patients_of, tmp_path, monkeypatch):
    plutos, _ = patients_of()
    monkeypatch.setattr(Pluto, "begin_transmission", None)
    findings = list(examination(plutos, tmp_path, transmit=False).findings())
    skipped = {f.check for f in findings if f.verdict == "skip" and f.subject == "edge"}
    assert skipped == {check.name for check in SIGNAL_CHECKS} | {"calibration"}
    assert not {"link", "crystal"} & {f.check for f in findings}


def test_a_pluto_that_goes_away_is_told_once_and_the_others_are_examined(patients_of, tmp_path):
    plutos, _ = patients_of()
    findings = []
    for finding in examination(plutos, tmp_path).findings():
        findings.append(finding)
        if (finding.check, finding.subject) == ("serial", "edge"):
            plutos.control(Drop(radio="bs"))
    of_station = [f for f in findings if f.subject == "bs"]
    assert [f.verdict for f in of_station].count("fail") == 1
    assert of_station[-1].measured == "the connection was lost"
    assert next(f for f in findings if (f.check, f.subject) == ("rate", "edge")).verdict == "pass"


def test_without_its_base_station_nobody_is_taken_for_it(patients_of, tmp_path, monkeypatch):
    plutos, _ = patients_of()
    monkeypatch.setattr("calibration.doctor.examination.SIGNAL_CHECKS", ())
    asked = examination(plutos, tmp_path)
    findings = list(replace(asked, uris={"gone": "ip:127.0.0.250", **asked.uris}).findings())
    assert [f.verdict for f in findings if f.subject == "gone"] == ["pass", "fail"]
    assert not {"link", "crystal"} & {f.check for f in findings}


def test_a_scan_shows_who_is_on_the_band(patients_of):
    plutos, station = patients_of()
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
