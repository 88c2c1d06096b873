"""``airtune link show``: any recorded burst as a picture, in words and as numbers."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from fake_run import make_fake_run

from base_station.report import write_report
from base_station.store.run_store import RunStore
from base_station.store.signals import unpacked
from deploy.cli import main

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fake_run(tmp_path_factory.mktemp("runs") / "shown", clients=3, rounds=3)


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_run, tmp_path / "shown")


def show(capsys: pytest.CaptureFixture[str], run: Path, *arguments: object) -> str:
    code = main(["link", "show", str(run), *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def test_the_last_data_burst_of_a_client_is_shown_in_words_and_as_a_picture(run, capsys):
    lines = show(capsys, run, "--round", 2, "--client", "edge-1").splitlines()
    with RunStore.read(run) as store:
        record = next(b for b in store.bursts(2) if b.client == "edge-1" and b.kind == "data")
    assert lines[0] == "edge-1, round 2, window 100: data"
    words = {" ".join(line.split()) for line in lines}
    assert f"MCS {record.mcs}" in words
    assert f"blocks {record.blocks} sent, {record.blocks_failed} failed" in words
    assert "by combining 0 blocks" in words
    picture = run / "link" / "round-0002-edge-1-window-100.png"
    assert lines[-1] == str(picture)
    assert picture.read_bytes().startswith(PNG)


def test_the_numbers_of_a_burst_are_those_of_the_database(run, capsys):
    shown = json.loads(show(capsys, run, "--round", 3, "--client", "edge-1", "--json"))
    with RunStore.read(run) as store:
        record = next(b for b in store.bursts(3) if b.client == "edge-1" and b.kind == "data")
        signal = next(s for s in store.signals(3) if s.client == "edge-1" and s.window_index == record.window_index)
        spectrum = next(s for s in store.spectra(3) if s.window_index == record.window_index)
    assert shown["burst"]["rb_start"] == record.rb_start
    assert shown["burst"]["mcs"] == record.mcs == "16qam-1/2"
    points = np.array(shown["constellation"])
    assert np.array_equal(points[:, 0] + 1j * points[:, 1], unpacked("constellation", signal.constellation))
    assert len(np.unique(np.round(shown["ideal_points"], 6), axis=0)) == 16
    assert np.mean(np.square(shown["ideal_points"])) == pytest.approx(0.5)
    assert shown["channel_db"] == unpacked("channel", signal.channel).tolist()
    band = range(-112 + 8 * record.rb_start, -112 + 8 * (record.rb_start + record.rb_count))
    assert shown["channel_khz"] == [7.8125 * s for s in band if s not in (-1, 0, 1)]
    assert len(shown["sinr_db"]) == record.rb_count
    assert shown["soft_bits"] == signal.soft_bits
    assert shown["spectrum_db"] == unpacked("psd", spectrum.psd).tolist()
    assert shown["spectrum_khz"][:2] == [-1000.0, -992.1875]


def test_iq_that_was_kept_is_named(run, capsys):
    recording = run / "iq" / "round-0002_client-edge-1_window-100.sigmf-meta"
    recording.parent.mkdir()
    recording.touch()
    shown = [json.loads(show(capsys, run, "--round", t, "--client", "edge-1", "--json")) for t in (1, 2)]
    assert [s["recording"] for s in shown] == [None, str(recording)]
    assert show(capsys, run, "--round", 2, "--client", "edge-1").splitlines()[-2] == str(recording)


def test_a_sounding_is_shown_on_a_page_of_its_own(run, capsys, tmp_path):
    out = tmp_path / "sounding.html"
    arguments = ("--round", 1, "--client", "edge-2", "--window", 2, "--out", out)
    assert show(capsys, run, *arguments).splitlines()[-1] == str(out)
    page = out.read_text()
    assert "edge-2, round 1, window 2: sounding" in page
    assert "a sounding carries no bits" in page
    assert "Channel gain per subcarrier" in page
    assert re.findall(r"https?:|//[a-z]+\.|@import|<script|<link|url\((?!#)", page) == []


def test_a_burst_that_was_not_detected_is_shown_with_the_spectrum_it_was_lost_in(run, capsys, tmp_path):
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute("UPDATE bursts SET detected = 0 WHERE round_index = 2 AND client = 'edge-1'")
        database.execute("DELETE FROM signals WHERE round_index = 2 AND client = 'edge-1'")
    out = tmp_path / "lost.html"
    shown = json.loads(show(capsys, run, "--round", 2, "--client", "edge-1", "--out", out, "--json"))
    assert shown["constellation"] == shown["channel_db"] == shown["channel_khz"] == shown["soft_bits"] == []
    assert len(shown["spectrum_db"]) == 256
    assert out.read_text().count("not detected") == 5


def test_a_burst_of_a_radio_without_iq_is_shown_with_what_there_is(run, capsys, tmp_path):
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute("DELETE FROM signals")
    config = run / "config.toml"
    config.write_text(config.read_text().replace('driver = "simulated"', 'driver = "abstract"'))
    out = tmp_path / "abstract.html"
    shown = json.loads(show(capsys, run, "--round", 2, "--client", "edge-1", "--out", out, "--json"))
    assert shown["iq"] is False
    assert shown["constellation"] == shown["channel_db"] == shown["channel_khz"] == []
    assert len(shown["sounded_sinr_db"]) == shown["burst"]["rb_count"]
    page = out.read_text()
    assert page.count("no IQ") == 4
    assert "SINR per resource block, as sounded" in page
    words = show(capsys, run, "--round", 2, "--client", "edge-1")
    assert "no IQ" in words
    for measured in ("EVM", "samples", "carrier offset"):
        assert measured not in words + page
    report = write_report(run).read_text()
    assert "SINR per resource block" in report
    assert "What became of these bursts" in report
    assert "Received symbols" not in report


def test_of_several_data_bursts_of_a_round_the_last_is_shown(run, capsys):
    with sqlite3.connect(run / "run.sqlite") as database:
        for table in ("bursts", "signals"):
            rows = f"SELECT * FROM {table} WHERE round_index = 2 AND window_index = 100"
            database.execute(f"CREATE TEMP TABLE again AS {rows}")
            database.execute("UPDATE again SET window_index = 101")
            database.execute(f"INSERT INTO {table} SELECT * FROM again")
            database.execute("DROP TABLE again")
    assert "edge-1, round 2, window 101: data" in show(capsys, run, "--round", 2, "--client", "edge-1")
    first = show(capsys, run, "--round", 2, "--client", "edge-1", "--window", 100)
    assert "edge-1, round 2, window 100: data" in first


def test_of_a_client_without_a_data_burst_the_sounding_is_shown(run, capsys):
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute("DELETE FROM bursts WHERE client = 'edge-2' AND kind = 'data'")
    picture = run.parent / "sounding.png"
    lines = show(capsys, run, "--round", 2, "--client", "edge-2", "--out", picture).splitlines()
    assert lines[0] == "edge-2, round 2, window 2: sounding"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not (run / "link").exists()


def test_all_bursts_are_listed(run, capsys):
    listed = json.loads(show(capsys, run, "--json"))["bursts"]
    with RunStore.read(run) as store:
        known = [(b.round_index, b.window_index, b.client) for b in store.bursts()]
    assert [(b["round_index"], b["window_index"], b["client"]) for b in listed] == known
    lines = show(capsys, run).splitlines()
    assert len(lines) == len(known) + 1
    assert "received SNR" in lines[0]
    only = json.loads(show(capsys, run, "--client", "edge-3", "--json"))["bursts"]
    assert {b["client"] for b in only} == {"edge-3"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--round", "9", "--client", "edge-1"], 2, "no round 9; the nearest is 3 (it has 1 to 3)"),
        (["--round", "1", "--client", "egde-2"], 2, "no client 'egde-2'; the nearest is 'edge-2'"),
        (["--round", "1", "--client", "edge-2", "--window", "9"], 2, "the nearest is 2 (there are 2, 100)"),
        (["--round", "1", "--window", "2"], 2, "--window and --out need --round and --client"),
        (["--round", "1", "--client", "edge-1", "--out", "x.pdf"], 2, "a picture ends in .png or .html"),
        (["--round", "1", "--client", "edge-1", "--out", "no/dir/x.png"], 2, "the directory no/dir does not exist"),
    ],
)
def test_what_is_not_there_is_told_in_one_line_with_the_nearest(run, arguments, code, told, capsys):
    assert main(["link", "show", str(run), *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1


def test_an_unknown_run_is_told_with_the_nearest(run, capsys):
    assert main(["link", "show", str(run.with_name("shwon"))]) == 12
    assert f"no run is there; the nearest is {run}" in capsys.readouterr().err


def test_a_directory_without_a_name_is_told_with_the_nearest_run_too(run, capsys, tmp_path, monkeypatch):
    (tmp_path / "shwon").mkdir()
    monkeypatch.chdir(tmp_path / "shwon")
    assert main(["link", "show", "."]) == 12
    assert f"airtune: .: no run is there; the nearest is {run}" in capsys.readouterr().err
