"""``airtune doctor``: what it prints, and the exit code of its worst finding."""

import json

import pytest
from needs import needs_pyadi

from calibration.doctor import examination
from calibration.doctor.findings import Check, Seen
from deploy.cli import main
from radio.virtual.testbed import virtual_plutos


@pytest.fixture
def verdicts(monkeypatch):
    """Has the machine's checks come out as told."""

    def set_verdicts(*verdicts):
        checks = [
            Check(f"check-{i}", "it matters", "mend it", lambda _, v=v: Seen(v, "3 of 4", 3.0, "things"))
            for i, v in enumerate(verdicts)
        ]
        monkeypatch.setattr(examination, "HOST_CHECKS", tuple(checks))
        monkeypatch.setattr(examination, "LIBRARY_CHECKS", ())

    return set_verdicts


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        (("pass", "skip"), 0, ""),
        (("pass", "warn", "skip", "warn"), 14, "airtune: doctor: 2 of 4 checks warned: check-1 (host), check-3 (host)"),
        (("fail", "warn"), 15, "airtune: doctor: 1 of 2 checks failed: check-0 (host)"),
    ],
)
def test_the_exit_code_is_that_of_the_worst_finding(verdicts, capsys, found, code, told):
    verdicts(*found)
    assert main(["doctor"]) == code
    shown = capsys.readouterr()
    assert shown.err.strip() == told
    assert (
        shown.out.count("mend  mend it")
        == shown.out.count("why   it matters")
        == len(found) - found.count("pass") - found.count("skip")
    )


def test_one_document_holds_everything(verdicts, capsys):
    verdicts("pass", "warn")
    assert main(["doctor", "--json"]) == 14
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["scan"]) == ("warn", None)
    assert document["findings"][1] == {
        "check": "check-1", "subject": "host", "verdict": "warn", "measured": "3 of 4", "why": "it matters",
        "mend": "mend it", "value": 3.0, "unit": "things",
    }  # fmt: skip


def test_the_keys_of_an_experiment_are_looked_at(tmp_path, capsys):
    (tmp_path / "edge.key").write_text("secret")
    (tmp_path / "edge.key").chmod(0o644)
    assert main(["doctor", "examples/demo.toml", "--set", f"clients.keys_dir={tmp_path}", "--json"]) == 15
    findings = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["keys"]["verdict"] == "fail"
    assert findings["gnu-radio"]["verdict"] == "pass"
    assert findings["versions"]["verdict"] == "skip"
    assert not {"uri", "reachable"} & set(findings)


@needs_pyadi
def test_a_pluto_is_examined_and_the_band_shown(verdicts, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verdicts("pass")
    with virtual_plutos(["bs"], on_demand=True) as plutos:
        named = ["--uri", plutos.uri("bs"), "--carrier-hz", "915e6"]
        monkeypatch.setattr("calibration.doctor.behaviour._LEAST_INTERVAL_S", 0.0)
        assert main(["doctor", *named, "--scan", "914e6:916e6", "--json"]) == 14
        document = json.loads(capsys.readouterr().out)
        assert main(["doctor", *named, "--scan", "914e6:916e6", "--no-transmit"]) == 14
    findings = {f["check"]: f["verdict"] for f in document["findings"]}
    assert {check for check, verdict in findings.items() if verdict == "warn"} == {"found-off", "calibration"}
    assert findings["rate"] == "pass"
    assert len(document["scan"]["frequency_hz"]) == len(document["scan"]["occupied"]) == 32
    shown = capsys.readouterr().out
    assert "913.5 MHz" in shown
    assert "SKIP  " in shown


EXPERIMENT = """
[experiment]
name = "lab"
[radio]
driver = "gr-iio"
uri = "{bs}"
carrier_hz = 915e6
calibration_dir = ""
[clients]
members = [{{ name = "edge", uri = "{edge}" }}, {{ name = "gone", uri = "ip:127.0.0.250" }}]
"""


@needs_pyadi
def test_the_radios_of_an_experiment_are_examined_by_name(verdicts, capsys, tmp_path, monkeypatch):
    verdicts("pass")
    monkeypatch.setattr("calibration.doctor.behaviour._LEAST_INTERVAL_S", 0.0)
    with virtual_plutos(["bs", "edge"], on_demand=True) as plutos:
        path = tmp_path / "lab.toml"
        path.write_text(EXPERIMENT.format(bs=plutos.uri("bs"), edge=plutos.uri("edge")))
        assert main(["doctor", str(path), "--no-transmit", "--json"]) == 15
    findings = json.loads(capsys.readouterr().out)["findings"]
    reached = {f["subject"]: f["verdict"] for f in findings if f["check"] == "reachable"}
    assert reached == {"base-station": "pass", "edge": "pass", "gone": "fail"}
    assert {f["verdict"] for f in findings if f["check"] == "calibration"} == {"skip"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--scan", "2.4e9:2.5e9"], "--scan: needs a Pluto that listens"),
        (["--uri", "usb:", "--scan", "2.5e9:2.4e9"], "the lower one first"),
        (["--uri", "usb:", "--scan", "all"], "is written as 2.40e9:2.48e9"),
        (["examples/demo.toml", "--uri", "usb:"], "leave out --uri"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_examined(arguments, line, capsys):
    assert main(["doctor", *arguments]) == 2
    shown = capsys.readouterr()
    assert line in shown.err
    assert shown.out == ""
