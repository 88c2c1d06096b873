"""``airtune link simulate``: its document, its picture, and what it refuses."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.cli import main
from deploy.commands.link_simulate import snr_range
from deploy.link_plot import save_link_plot
from deploy.sweep_progress import open_sweep_progress
from protocol.errors import ConfigurationError, StorageError
from radio.modem import McsTable
from radio.simulation.burst import BurstOutcome
from radio.simulation.results import summarise
from radio.simulation.scenario import Point, Scenario

ROOT = Path(__file__).parents[2]
QUICK = ["link", "simulate", "--codec", "convolutional", "--rb", "7", "--payload-bits", "8000", "--jobs", "1"]
CONTRACT = {
    "snr_db", "mcs", "burst_error_rate", "block_error_rate", "goodput_bps", "bandwidth_hz", "capacity_bps",
    "efficiency",
}  # fmt: skip


def result(snr_db):
    """A point that was simulated."""
    outcomes = [BurstOutcome("qpsk-1/2", True, 4, lost, 0, 20_000, 2.0, -snr_db) for lost in (0, 1)]
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


@pytest.mark.parametrize(("name", "magic"), [("link.svg", b"<?xml"), ("link.PDF", b"%PDF")])
def test_the_plot_has_the_format_that_its_name_asks_for(tmp_path, name, magic):
    save_link_plot(tmp_path / name, {"auto": [result(2.0), result(12.0)], "qpsk-1/2": [result(5.0)]}, "title")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_plot_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "link.png").mkdir()
    with pytest.raises(StorageError, match=r"link\.png: cannot be written"):
        save_link_plot(tmp_path / "link.png", {"auto": [result(2.0)]}, "title")


def test_the_figures_are_printed_though_the_plot_cannot_be_written(tmp_path, capsys):
    (tmp_path / "link.png").mkdir()
    arguments = ["--snr-db", "9", "--bursts", "2", "--json", "--plot", str(tmp_path / "link.png")]
    assert main([*QUICK, *arguments]) == 8
    output = capsys.readouterr()
    assert len(json.loads(output.out)["points"]) == 1
    assert output.err.splitlines()[-1].startswith("airtune: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--snr-db", "0:30:0"], "--snr-db 0:30:0: must be FROM:TO:STEP"),
        (["--snr-db", "30:0:2"], "must be FROM:TO:STEP"),
        (["--snr-db", "a,b"], "must be FROM:TO:STEP"),
        (["--snr-db", "0:1:2:3"], "must be FROM:TO:STEP"),
        (["--snr-db", "nan"], "must be FROM:TO:STEP"),
        (["--snr-db", "0:60:1e-9"], "more than 10000 points"),
        (["--snr-db", "500"], "SNR (dB): 500 is not within"),
        (["--channel", "awgm"], "unknown channel 'awgm'; known: awgn"),
        (["--mcs", "8psk-1/2"], "unknown MCS '8psk-1/2'; known: bpsk-1/2"),
        (["--mcs", ""], "unknown MCS ''"),
        (["--rb", "29"], "RBs: 29 is not within 1 to 28"),
        (["--rb", "many"], "invalid int value"),
        (["--bursts", "0"], "--bursts 0: must be at least 1"),
        (["--jobs", "0"], "--jobs 0: must be at least 1"),
        (["--neighbours", "4"], "neighbours: 4 is not within 0 to 3"),
        (["--impairments", "rtl"], "unknown impairments 'rtl'; known: none, pluto"),
        (["--plot", "link.gif"], "--plot link.gif: must end in .png, .svg, .pdf"),
        (["--plot", "no/where/link.png"], "the directory no/where does not exist"),
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


def test_a_terminal_shows_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with open_sweep_progress(4, stream) as progress:
        progress.bursts_done(3)
        progress.point_done(None)
    assert "3/4" in stream.getvalue()


def test_ctrl_c_ends_the_workers_and_the_command_with_130():
    arguments = ["--codec", "convolutional", "--snr-db", "3:4:0.001", "--bursts", "1", "--jobs", "1"]
    command = [sys.executable, "-m", "deploy", "link", "simulate", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr.readline().startswith("bpsk-1/2 3")
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        output, complaint = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "")
    assert complaint.splitlines()[-1] == "airtune: interrupted"
    assert len(workers) == 1
    assert not any(worker.is_running() for worker in workers)
