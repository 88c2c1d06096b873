"""``airtune link simulate``: its document, its picture, and what it refuses."""

from __future__ import annotations

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
from protocol.errors import ConfigurationError
from radio.modem import McsTable

ROOT = Path(__file__).parents[2]
QUICK = ["link", "simulate", "--codec", "convolutional", "--rb", "7", "--payload-bits", "8000", "--jobs", "1"]
CONTRACT = {
    "snr_db", "mcs", "burst_error_rate", "block_error_rate", "goodput_bps", "bandwidth_hz", "capacity_bps",
    "efficiency",
}  # fmt: skip


def test_the_document_has_the_fields_of_the_contract(capsys):
    assert main([*QUICK, "--snr-db", "2:10:4", "--mcs", "qpsk-1/2,auto", "--bursts", "3", "--json"]) == 0
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


def test_without_json_a_table_is_printed(capsys):
    assert main([*QUICK, "--snr-db", "9", "--bursts", "2"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["SNR", "dB", "MCS"]
    assert row.split()[0] == "9.0"
    assert row.split()[1] in McsTable.load().names


@pytest.mark.parametrize(
    ("name", "magic"), [("link.png", b"\x89PNG\r\n"), ("link.svg", b"<?xml"), ("link.PDF", b"%PDF")]
)
def test_the_plot_is_a_picture_of_the_format_asked_for(tmp_path, name, magic, capsys):
    assert main([*QUICK, "--snr-db", "2,12", "--bursts", "2", "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(magic)


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


def test_ctrl_c_ends_the_workers_and_the_command_with_130():
    arguments = ["--codec", "convolutional", "--snr-db", "3:4:0.001", "--bursts", "1", "--jobs", "2"]
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
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)


def test_workers_end_with_a_parent_that_was_killed():
    arguments = ["--codec", "convolutional", "--snr-db", "3:4:0.001", "--bursts", "1", "--jobs", "2"]
    command = [sys.executable, "-m", "deploy", "link", "simulate", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=10.0)
    assert not alive
