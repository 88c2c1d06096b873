"""``airtune calibrate``: what it prints and keeps, and what it says when it cannot."""

import json

import pytest
from needs import needs_pyadi

from deploy.cli import main
from radio.calibration_file import load_for
from radio.virtual.control_messages import Serial
from radio.virtual.testbed import virtual_plutos

EXPERIMENT = """
[experiment]
name = "lab"
[radio]
driver = "pluto"
uri = "{bs}"
carrier_hz = 915e6
max_duty = 1.0
calibration_dir = "{directory}"
[clients]
members = [{{ name = "edge", uri = "{edge}" }}]
"""


@pytest.fixture
def plutos():
    tables = {"medium": {"loss_db": 50.0}, "radio": [{"name": "edge", "crystal_ppm": 9.0}]}
    with virtual_plutos(["bs", "edge"], tables, on_demand=True) as plutos:
        yield plutos


@needs_pyadi
def test_an_experiment_s_radios_are_calibrated_and_kept_where_its_drivers_look(plutos, tmp_path, capsys):
    path, directory = tmp_path / "lab.toml", tmp_path / "kept"
    path.write_text(EXPERIMENT.format(directory=directory, bs=plutos.uri("bs"), edge=plutos.uri("edge")))
    assert main(["calibrate", str(path), "--cable-uncertainty-db", "0.3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    serials = [plutos.server(name).radio.device.serial for name in ("bs", "edge")]
    assert [c["serial"] for c in document["calibrations"]] == serials
    (offset,) = document["offsets_before"]
    truth_ppm = 9.0 - plutos.server("bs").radio.front_end.crystal.ppm
    assert (offset["name"], offset["ppm"]["value"]) == ("edge", pytest.approx(truth_ppm, abs=0.01))
    station = load_for(serials[0], 915e6, directory)
    assert station.reference_of(serials[1]).attenuation_db.value == 50.0
    assert station.reference_of(serials[1]).offset_db.uncertainty == pytest.approx(0.3, abs=0.02)
    assert sorted(map(str, directory.iterdir())) == sorted(document["files"])


@needs_pyadi
def test_radios_named_one_by_one_are_told_of_in_words(plutos, tmp_path, capsys):
    uris = ["--uri", plutos.uri("bs"), "--uri", plutos.uri("edge"), "--carrier-hz", "915e6"]
    assert main(["calibrate", *uris, "--dir", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert f"{plutos.uri('edge')}: carrier offset" in shown.err
    assert "noise figure unknown" in shown.out
    assert shown.out.count("kept in ") == 2
    plutos.control(Serial(radio="edge", same_as="bs"))
    assert main(["calibrate", *uris, "--dir", str(tmp_path)]) == 2
    assert "have one serial number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "a base station's and at least one client's Pluto are needed"),
        (["--uri", "ip:127.0.0.9"], "a base station's and at least one client's Pluto are needed"),
        (["examples/demo.toml"], 'an experiment with radio.driver = "pluto"'),
        (["--uri", "usb:", "--uri", "usb:"], "--uri usb:: is given twice"),
        (["--uri", "a", "--uri", "b", "--cable-db", "10"], "--cable-db 10: lies between 30, which protects"),
        (["--uri", "a", "--uri", "b", "--cable-db", "50", "--cable-uncertainty-db=-1"], "lies between 0 and 30"),
        (["--uri", "a", "--uri", "b", "--carrier-hz", "915"], "--carrier-hz 915: is given in hertz"),
        (["--uri", "a", "--uri", "b", "--transmit-gain-db", "3"], "lies between -89.75 and 0"),
        (["examples/demo.toml", "--uri", "a"], "leave out --uri"),
        (["--set", "radio.driver=pluto"], "name its file, too"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments, line, capsys):
    assert main(["calibrate", *arguments]) == 2
    assert line in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_is_told_of_before_any_radio_is_asked(tmp_path, capsys):
    (tmp_path / "file").touch()
    nobody = ["--uri", "ip:127.0.0.1:1", "--uri", "ip:127.0.0.1:2"]
    assert main(["calibrate", *nobody, "--dir", str(tmp_path / "file" / "kept")]) == 8
    assert "cannot be made: Not a directory; choose another --dir" in capsys.readouterr().err
