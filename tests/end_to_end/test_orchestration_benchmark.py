"""The orchestration benchmark plays real rounds of both systems and leaves no process behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


def temporary_directory(process):
    try:
        return process.environ().get("TMPDIR")
    except psutil.Error:  # not ours, or it ended
        return None


def test_airtune_and_the_limit_carry_the_same_bytes(tmp_path):
    report = tmp_path / "report.json"
    command = [
        sys.executable, "-m", "benchmarks.orchestration", "--clients", "2", "--payloads", "16KB", "--rounds", "2",
        "--systems", "airtune", "--json", str(report),
    ]  # fmt: skip
    own = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=own
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    limit, airtune = json.loads(report.read_text("utf-8"))["rows"]
    assert (limit["system"], airtune["system"]) == ("limit", "airtune")
    for figures in (limit, airtune):
        assert figures["rounds"] == 2
        assert figures["processes"] == 3
        assert figures["round_s"] > 0.0
        assert figures["peak_pss_bytes"] > 1e6
        if figures["wire_bytes"] is not None:  # counted where the machine allows network namespaces
            assert 1.0 <= figures["wire_over_carried"] < 1.5
    assert sum(airtune["parts_s"].values()) <= 1.1 * airtune["most_round_s"]
    assert "16KB" in done.stdout
    assert not [process for process in psutil.process_iter() if temporary_directory(process) == str(tmp_path)]


def test_without_flower_it_says_how_to_get_it(tmp_path):
    command = [
        sys.executable, "-m", "benchmarks.orchestration", "--systems", "flower-deployment", "--flower-python",
        str(tmp_path / "python"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install 'flwr[simulation]'" in done.stdout
