"""``airtune link simulate``: its document, its picture, and what it refuses."""

from __future__ import annotations

import io
import json
import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.cli import main
from deploy.commands import link_simulate
from deploy.link_arguments import snr_range
from deploy.link_plot import save_link_plot
from deploy.sweep_progress import open_sweep_progress
from protocol.errors import ConfigurationError, StorageError
from radio.modem import McsTable
from radio.simulation.burst import BurstOutcome
from radio.simulation.results import summarise
from radio.simulation.scenario import Point, Scenario, check

ROOT = Path(__file__).parents[2]
QUICK = ["link", "simulate", "--codec", "convolutional", "--rb", "7", "--payload-bits", "8000", "--jobs", "1"]
CONTRACT = {
    "snr_db", "mcs", "burst_error_rate", "block_error_rate", "goodput_bps", "bandwidth_hz", "capacity_bps",
    "efficiency",
}  # fmt: skip


def result(snr_db, lost=(0, 1)):
    """A point that was simulated, with so many blocks lost of each burst."""
    outcomes = [BurstOutcome("qpsk-1/2", True, 4, n, 0, 20_000, 2.0, -snr_db) for n in lost]
    return summarise(Scenario(codec="convolutional"), Point(snr_db, "qpsk-1/2"), outcomes)


def test_the_document_has_the_fields_of_the_contract(tmp_path, capsys):
    plot = tmp_path / "link.png"
    arguments = ["--snr-db", "2:10:4", "--mcs", "qpsk-1/2,auto", "--bursts", "3", "--json", "--plot", str(plot)]
    assert main([*QUICK, *arguments]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    points = document["points"]
    assert [point["snr_db"] for point in points] == [2.0, 6.0, 10.0] * 2
    for point in points:
        assert set(point) > CONTRACT
        assert point["bandwidth_hz"] == 8 * 62.5e3
        assert point["capacity_bps"] == pytest.approx(8 * 62.5e3 * math.log2(1 + 10 ** (point["snr_db"] / 10)))
        assert point["efficiency"] == pytest.approx(point["goodput_bps"] / point["capacity_bps"])
    assert points[2]["mcs"] == "qpsk-1/2"
    assert points[5]["mcs"] in McsTable.load().names
    assert document["simulation"]["seed"] == 1
    assert len(output.err.splitlines()) == len(points)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_without_json_a_table_is_printed(capsys):
    assert main([*QUICK, "--snr-db", "9", "--bursts", "2"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["SNR", "dB", "MCS"]
    assert row.split()[0] == "9.0"
    assert row.split()[1] in McsTable.load().names


def test_auto_passes_over_schemes_whose_block_is_longer_than_a_burst_may_be(capsys):
    assert main(["link", "simulate", "--rb", "1", "--snr-db=-3,16", "--bursts", "2", "--jobs", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert len(rows) == 2


def test_names_may_be_written_in_capitals(capsys):
    arguments = [
        "--snr-db",
        "12",
        "--bursts",
        "1",
        "--mcs",
        "QPSK-1/2",
        "--channel",
        "AWGN",
        "--codec",
        "Convolutional",
    ]
    assert main([*QUICK, *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "qpsk-1/2"


def test_a_plot_without_errors_says_below_what_they_are(tmp_path):
    save_link_plot(tmp_path / "with.svg", {"qpsk-1/2": [result(2.0)]}, "title")
    assert "no burst lost" not in (tmp_path / "with.svg").read_text()
    save_link_plot(tmp_path / "without.svg", {"qpsk-1/2": [result(2.0, lost=(0,) * 20)]}, "title")
    assert "no burst lost in 20 bursts a point: below 0.05" in (tmp_path / "without.svg").read_text()


@pytest.mark.parametrize(("name", "magic"), [("link.svg", b"<?xml"), ("link.PDF", b"%PDF")])
def test_the_plot_has_the_format_that_its_name_asks_for(tmp_path, name, magic):
    save_link_plot(tmp_path / name, {"auto": [result(2.0), result(12.0)], "qpsk-1/2": [result(5.0)]}, "title")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_plot_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "link.png").mkdir()
    with pytest.raises(StorageError, match=r"link\.png: cannot be written"):
        save_link_plot(tmp_path / "link.png", {"auto": [result(2.0)]}, "title")


def test_the_figures_are_printed_though_the_plot_cannot_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(link_simulate, "check_picture", lambda *arguments: (tmp_path / "link.png").mkdir())
    arguments = ["--snr-db", "9", "--bursts", "2", "--json", "--plot", str(tmp_path / "link.png")]
    assert main([*QUICK, *arguments]) == 8
    output = capsys.readouterr()
    assert len(json.loads(output.out)["points"]) == 1
    assert output.err.splitlines()[-1].startswith("airtune: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--snr-db", "0:30:0"], "--snr-db 0:30:0: the step must be above 0"),
        (["--snr-db", "0:30:-1"], "--snr-db 0:30:-1: the step must be above 0"),
        (["--snr-db", "30:0:2"], "--snr-db 30:0:2: runs downwards"),
        (["--snr-db", "a,b"], "--snr-db a,b: must be FROM:TO, FROM:TO:STEP or a list"),
        (["--snr-db", "0:1:2:3"], "must be FROM:TO, FROM:TO:STEP"),
        (["--snr-db", "0:1,2"], "must be FROM:TO, FROM:TO:STEP"),
        (["--snr-db", "3,nan"], "--snr-db 3,nan: not a finite number"),
        (["--snr-db", "0:inf"], "--snr-db 0:inf: not a finite number"),
        (["--snr-db", "0:60:1e-9"], "more than 10000 points"),
        (["--snr-db", "0:5,3"], "must be FROM:TO"),
        (["--snr-db", "3,4,3.0"], "--snr-db 3,4,3.0: 3 dB stands there twice"),
        (["--snr-db", "500"], "--snr-db 500: must be -20 to 60"),
        (["--seed", "-1"], "--seed -1: must be 0 to 9007199254740991"),
        (["--seed", str(2**53)], "--seed 9007199254740992: must be 0 to"),
        (["--channel", "awgm"], "unknown channel 'awgm'; known: awgn"),
        (["--channel", "tdl-c", "--delay-spread-ns", "1100"], "--delay-spread-ns 1100: must be 0 to 1022 with tdl-c"),
        (["--channel", "tdl-a", "--delay-spread-ns", "-5"], "--delay-spread-ns -5: must be 0 to 1357 with tdl-a"),
        (["--channel", "rayleigh", "--delay-spread-ns", "300"], "--channel rayleigh has no delay spread"),
        (["--mcs", "8psk-1/2"], "unknown MCS '8psk-1/2'; the nearest are qpsk-1/2, bpsk-1/2"),
        (["--mcs", ""], "--mcs : a name is empty"),
        (["--mcs", "qpsk-1/2,"], "--mcs qpsk-1/2,: a name is empty"),
        (["--mcs", "auto,auto"], "--mcs auto,auto: auto stands there twice"),
        (["--mcs", "qpsk-449"], "--codec convolutional: 'qpsk-449' of --mcs is a scheme of ldpc"),
        (["--rb", "0"], "--rb 0: must be 1 to 28"),
        (["--rb", "29"], "--rb 29: must be 1 to 28"),
        (["--rb", "many"], "invalid int value"),
        (["--bursts", "0"], "--bursts 0: must be at least 1"),
        (["--jobs", "0"], "--jobs 0: must be at least 1"),
        (["--neighbours", "4"], "--neighbours 4: must be 0 to 3"),
        (["--neighbour-db", "90"], "--neighbour-db 90: must be -60 to 60"),
        (["--payload-bits", "0"], "--payload-bits 0: must be 1 to 10000000"),
        (["--impairments", "rtl"], "unknown impairments 'rtl'; known: none, pluto"),
        (["--plot", "link.gif"], "--plot link.gif: a picture ends in .png or .svg or .pdf"),
        (["--plot", "no/where/link.png"], "the directory no/where does not exist"),
        (["--plot", "/proc/link.png"], "--plot /proc/link.png: cannot be written"),
    ],
)
def test_a_bad_argument_is_told_in_one_line(arguments, line, capsys):
    assert main([*QUICK, *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("airtune: ")
    assert output.err.count("\n") == 1
    assert line in output.err


def test_snr_ranges_hold_both_ends():
    assert snr_range("0:30:2") == [float(value) for value in range(0, 31, 2)]
    assert snr_range("-1:0.2:0.3") == [-1.0, -0.7, -0.4, -0.1, 0.2]
    assert snr_range("5:7") == [5.0, 6.0, 7.0]
    assert snr_range("3,4.5") == [3.0, 4.5]
    with pytest.raises(ConfigurationError):
        snr_range("")


@pytest.mark.parametrize(("rb", "mcs"), [(1, "qpsk-308"), (3, "qpsk-50-short"), (1, "qpsk-78-short")])
@pytest.mark.parametrize("neighbours", [0, 3])
def test_a_scheme_whose_block_does_not_fit_a_burst_is_refused_with_a_remedy_that_works(rb, mcs, neighbours, capsys):
    options = ["link", "simulate", "--snr-db", "20", "--bursts", "1", "--jobs", "1", "--mcs", mcs]
    options += ["--neighbours", str(neighbours)]
    assert main([*options, "--rb", str(rb)]) == 2
    complaint = capsys.readouterr().err
    told = re.search(
        rf"a block of '{mcs}' is longer than a burst over --rb {rb} may be; choose --rb (\d) or more", complaint
    )
    assert main([*options, "--rb", told[1]]) == 0


@pytest.mark.parametrize("name", ["tdl-a", "tdl-b", "tdl-c"])
def test_help_tells_the_largest_delay_spread_of_each_profile(name, capsys):
    assert main(["link", "simulate", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    most_ns = re.search(rf"(\d+) {name}[,\s]", words)[1]
    check(Scenario(channel=name, delay_spread_s=1e-9 * int(most_ns)), [])
    with pytest.raises(ConfigurationError, match=rf"must be 0 to {most_ns} with {name}"):
        check(Scenario(channel=name, delay_spread_s=1e-9 * (int(most_ns) + 1)), [])


def test_a_terminal_shows_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with open_sweep_progress(4, stream) as progress:
        progress.bursts_done(3)
        progress.point_done(None)
    assert "3/4" in stream.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_workers_and_prints_the_points_there_are(number):
    arguments = ["--codec", "convolutional", "--snr-db", "3:4:0.001", "--bursts", "1", "--jobs", "1", "--json"]
    command = [sys.executable, "-m", "deploy", "link", "simulate", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr.readline().startswith("bpsk-1/2 3")
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        output, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    points = json.loads(output)["points"]
    assert 1 <= len(points) < 1001
    assert points[0]["snr_db"] == 3.0
    assert complaint.splitlines()[-1] == "airtune: interrupted"
    assert len(workers) == 1
    assert not any(worker.is_running() for worker in workers)
