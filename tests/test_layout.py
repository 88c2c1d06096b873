"""Imports point downward, and the heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("protocol", "radio", "learning", "edge_client", "base_station", "calibration", "deploy")
ALLOWED = {
    "protocol": set(),
    "radio": {"protocol"},
    "learning": {"protocol"},
    "edge_client": {"protocol", "radio", "learning"},
    "base_station": {"protocol", "radio", "learning"},
    "calibration": {"protocol", "radio"},
    "deploy": {"protocol", "radio", "learning", "edge_client", "base_station", "calibration"},
}
NO_TORCH = ("protocol", "radio", "calibration")
GNU_RADIO_ONLY_IN = "radio"


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def modules():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_downward(package):
    for path in (ROOT / package).rglob("*.py"):
        crossing = set(imports_of(path)) & set(PACKAGES) - {package} - ALLOWED[package]
        assert not crossing, f"{path.relative_to(ROOT)} imports {sorted(crossing)}"


def test_torch_and_gnu_radio_stay_where_they_belong():
    for path in modules():
        package, names = path.relative_to(ROOT).parts[0], set(imports_of(path))
        if package in NO_TORCH:
            assert not names & {"torch", "transformers", "peft"}, path
        if package != GNU_RADIO_ONLY_IN:
            assert not names & {"gnuradio", "pmt"}, path


def test_nothing_is_unpickled_or_evaluated():
    forbidden = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
    for path in modules():
        assert not set(imports_of(path)) & forbidden, path
        calls = [n.func.id for n in ast.walk(ast.parse(path.read_text("utf-8")))
                 if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]  # fmt: skip
        assert not {"eval", "exec"} & set(calls), path


def test_every_benchmark_is_a_command_and_no_part_is():
    """What several benchmarks share lies in ``benchmarks/parts``."""
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        text = path.read_text("utf-8")
        assert 'if __name__ == "__main__":' in text, f"{path.name} is no command: put it into benchmarks/parts"
        assert "ArgumentParser(" in text, f"{path.name} does not answer --help"
    for path in (ROOT / "benchmarks" / "parts").glob("*.py"):
        assert "__main__" not in path.read_text("utf-8"), f"{path.name} is a command: put it into benchmarks"


def test_a_benchmark_asked_for_help_does_not_run():
    command = [sys.executable, "-m", "benchmarks.soft_selection", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.startswith("usage: ")
    assert "energy left, by share" not in shown
