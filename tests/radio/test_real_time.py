"""The real-time benchmark: its buffer counts what the receiver has not taken in time, and it runs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FULL_BUFFER = """
import numpy as np
from benchmarks.parts.paced_receiver import SampleBuffer
buffer = SampleBuffer(250)
for value in (1, 2, 3):
    buffer.put(np.full(100, value, np.complex64))
first = [int(buffer.take()[0].real) for _ in range(2)]
buffer.put(np.full(100, 4, np.complex64))
print(buffer.overruns, first + [int(buffer.take()[0].real) for _ in range(2)], buffer.fullest)
"""


def run(*arguments):
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_samples_that_find_no_room_are_counted_and_become_zeros():
    assert run("-c", FULL_BUFFER).split(maxsplit=1) == ["1", "[1, 2, 0, 4] 200\n"]


def test_a_paced_run_shows_overruns_losses_and_load():
    shown = run("-m", "benchmarks.real_time", "--paced", "0.3", "--mcs", "qpsk-1/2")
    assert re.search(r"qpsk-1/2 at \d+\.\d dB: 2 windows of 1[23]\d ms at 2 Msps, 4 bursts each", shown)
    overruns, chunks = map(int, re.search(r"overruns (\d+) of (\d+) chunks", shown).groups())
    lost = float(re.search(r"blocks lost (\d\.\d+)", shown)[1])
    assert chunks > 50
    assert overruns > 0 or lost < 0.5  # a busy machine may overrun; what arrives decodes
    assert float(re.search(r"cores busy: (\d+\.\d+)", shown)[1]) > 0.05


def test_the_table_splits_a_receiver_s_time_by_stage():
    shown = run("-m", "benchmarks.real_time", "--mcs", "qpsk-1/2", "--repeats", "1", "--no-stock")
    rows = [line.split() for line in shown.splitlines() if line.startswith("qpsk-1/2")]
    receiver, transmitter = ([float(cell) for cell in row[1:] if re.fullmatch(r"-?\d+\.\d+", cell)] for row in rows)
    assert abs(sum(receiver[2:-1]) - receiver[-1]) < 0.01
    assert all(time > 0.0 for time in receiver[2:8])
    assert abs(sum(transmitter[:-1]) - transmitter[-1]) < 0.01
