"""The flowgraphs for GNU Radio Companion: they compile, and do what the run's own flowgraphs do."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from radio_lab import data_burst

from protocol.bursts import DataBurst
from radio.flowgraphs.filters import transmit_taps
from radio.flowgraphs.receive import receive_branches
from radio.flowgraphs.transmit import transmit_samples
from radio.numerology import DEFAULT_2MSPS

EXAMPLES = Path(__file__).parents[2] / "examples" / "grc"
FLOWGRAPHS = sorted(path.stem for path in EXAMPLES.glob("*.grc"))

SAME = 1e-3
"""Largest difference, of the peak. GNU Radio's rotator renormalises once per call, and in such a graph thread
timing decides where calls end: up to 1.5e-4 was seen (ours fix the length of a call)."""


def load_tool():
    spec = importlib.util.spec_from_file_location("burst", EXAMPLES / "burst.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Directory of the Python that grcc makes of every flowgraph."""
    grcc = shutil.which("grcc")
    assert grcc, "grcc is part of GNU Radio; install it with: make setup"
    directory = tmp_path_factory.mktemp("grc")
    files = [str(EXAMPLES / f"{name}.grc") for name in FLOWGRAPHS]
    done = subprocess.run([grcc, "-o", directory, *files], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def run(compiled: Path, name: str, directory: Path, *arguments: object) -> None:
    command = [sys.executable, str(compiled / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def air(compiled, tmp_path_factory):
    """A directory in which a burst was made, transmitted and received by the compiled flowgraphs."""
    directory = tmp_path_factory.mktemp("air")
    assert load_tool().main(["--dir", str(directory), "make", "--rb-start", "9", "--rb-count", "6"]) == 0
    run(compiled, "burst_transmitter", directory, "--rb-start", 9, "--rb-count", 6)
    run(compiled, "burst_receiver", directory, "--rb-start-a", 9, "--rb-start-b", 16, "--rb-count", 6)
    return directory


def test_every_flowgraph_compiles_to_python(compiled):
    assert FLOWGRAPHS == ["burst_receiver", "burst_transmitter", "live_spectrum"]
    for name in FLOWGRAPHS:
        compile((compiled / f"{name}.py").read_text(), name, "exec")


def test_the_transmitter_sends_what_a_client_sends(air):
    burst = msgspec.json.decode((air / "burst.json").read_bytes(), type=DataBurst)
    baseband = np.fromfile(air / "burst.cf32", np.complex64)
    window = np.fromfile(air / "window.cf32", np.complex64)
    delay = len(transmit_taps(DEFAULT_2MSPS, burst)) // 2
    expected = transmit_samples(burst, baseband, DEFAULT_2MSPS, delay, len(window) + 2 * delay)[: len(window)]
    assert len(window) == 4 * len(baseband)
    assert np.abs(window - expected).max() < SAME * np.abs(expected).max()


def test_the_receiver_gets_the_branches_a_base_station_gets(air):
    window = np.fromfile(air / "window.cf32", np.complex64)
    bursts = [data_burst("a", 9, 6, "qpsk-1/2", 1, 1), data_burst("b", 16, 6, "qpsk-1/2", 1, 2)]
    delay = len(transmit_taps(DEFAULT_2MSPS, bursts[0])) // 2 // 4
    for name, expected in zip("ab", receive_branches(bursts, window, DEFAULT_2MSPS), strict=True):
        branch = np.fromfile(air / f"branch-{name}.cf32", np.complex64)
        assert len(branch) == len(expected)
        assert np.abs(branch[delay:] - expected[: len(branch) - delay]).max() < SAME * np.abs(window).max()


def test_the_burst_arrives_in_its_branch_and_not_in_its_neighbours(air, capsys):
    tool = load_tool()
    for name, told in (("a", "8 of 8 blocks received"), ("b", "no burst|0 of 8 blocks received")):
        assert tool.main(["--dir", str(air), "decode", str(air / f"branch-{name}.cf32")]) == 0
        assert re.search(told, capsys.readouterr().out)
    assert tool.main(["--dir", str(air / "none"), "decode", str(air / "branch-a.cf32")]) == 1
    assert "burst.json" in capsys.readouterr().err
