"""The set-up script in a copy of the project whose machine is made to lack something."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PINS = ("constraints.txt", "requirements-assets.txt", "requirements-archives.txt", "pyproject.toml", "tools/setup.sh")
"""What a stamp depends on, in the order of the script."""
MODELS_PINS = ("constraints.txt", "requirements-models.txt", "tools/setup.sh")
"""The same of the models' stamp."""


@pytest.fixture
def project(tmp_path) -> Path:
    for name in {*PINS, *MODELS_PINS}:
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "project" / name)
    (tmp_path / "bin").mkdir()
    return tmp_path / "project"


def stand_in(project: Path, name: str, script: str) -> None:
    """Put a program called ``name`` before the real one on PATH."""
    program = project.parent / "bin" / name
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)


def set_up(project: Path, *extra: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Run the script without a package index; programs of ``stand_in`` come first."""
    environment = {**os.environ, "PATH": f"{project.parent / 'bin'}{os.pathsep}{path}", "PIP_NO_INDEX": "1"}
    script = ["bash", str(project / "tools/setup.sh"), *extra]
    return subprocess.run(script, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)


def assert_refused(result: subprocess.CompletedProcess[str], reason: str) -> None:
    assert result.returncode == 3
    assert reason in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_this_environment_is_complete_and_set_up_again_in_no_time():
    """Through make, as every target does; the second time must neither say nor start anything."""
    for _ in range(2):
        started = time.monotonic()
        result = subprocess.run(["make", "--no-print-directory", "setup"], cwd=ROOT, capture_output=True, text=True)
        wall_s = time.monotonic() - started
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert wall_s < 1.0


def test_a_full_disk_is_named_before_anything_is_installed(project):
    stand_in(project, "df", "printf 'head\\ndisk 9 9 1048576 9%% /\\n'")
    assert_refused(set_up(project), "only 1024 MiB are free")
    assert not (project / ".venv").exists()


def test_a_failing_pip_leaves_nothing_that_counts_as_done(project):
    (project / "constraints.txt").write_text("setuptools==0.0.1\n")
    for _ in range(2):
        assert_refused(set_up(project), "pip could not install the Python packages")
        assert not (project / ".venv/airtune-setup.stamp").exists()


def without_gnuradio(project: Path) -> None:
    """Make the system's Python one that has neither GNU Radio nor venv."""
    stand_in(project, "bare-python", "exit 1")
    script = project / "tools/setup.sh"
    script.write_text(script.read_text().replace("/usr/bin/python3", str(project.parent / "bin/bare-python")))
    stand_in(project, "sudo", 'shift 2; exec "$@"')  # after --non-interactive and --preserve-env


def test_apt_s_own_error_is_shown_when_gnu_radio_cannot_be_installed(project):
    without_gnuradio(project)
    stand_in(project, "apt-get", 'echo "E: Unable to locate package gnuradio"; exit 100')
    assert_refused(set_up(project), "apt could not install python3-venv gnuradio: E: Unable to locate package gnuradio")


def test_an_apt_that_installs_nothing_is_noticed(project):
    without_gnuradio(project)
    stand_in(project, "apt-get", "exit 0")
    assert_refused(set_up(project), "still missing after apt: python3-venv gnuradio")


def test_a_system_without_apt_is_told_what_to_install(project):
    without_gnuradio(project)
    for tool in ("bash", "dirname", "cat", "sha256sum", "cut", "df", "awk", "flock", "rm"):
        (project.parent / "bin" / tool).symlink_to(str(shutil.which(tool)))
    assert_refused(set_up(project, path=str(project.parent / "bin")), "no apt-get here; install by hand")


@pytest.mark.parametrize(
    ("change", "counts"),
    [("nothing", True), ("pins", False), ("moved", False), ("no GNU Radio", False), ("no Python", False)],
)
def test_a_stamp_counts_only_for_the_same_pins_place_and_gnu_radio(project, change, counts):
    stand_in(project, "df", "printf 'head\\ndisk 9 9 0 9%% /\\n'")  # whatever is not complete stops here
    complete(project)
    if change == "pins":
        (project / "constraints.txt").write_text("numpy==1.26.3\n")
    elif change == "moved":
        project = project.rename(project.parent / "elsewhere")
    elif change == "no GNU Radio":
        (project / "gnuradio.py").unlink()
    elif change == "no Python":
        (project / ".venv/bin/python").unlink()
    assert (set_up(project).returncode == 0) == counts


def test_models_are_an_extra_that_cannot_undo_the_rest(project):
    complete(project)
    (project / "requirements-models.txt").write_text("setuptools==0.0.1\n")
    stand_in(project, "df", "printf 'head\\ndisk 9 9 99999999 9%% /\\n'")
    fashion = project.parent / "fashion-mnist"
    fashion.mkdir()
    script = project / "tools/setup.sh"
    script.write_text(script.read_text().replace("/usr/share/datasets/fashion-mnist", str(fashion)))
    complete(project)
    assert_refused(set_up(project, "models"), "pip could not install the Python packages")
    assert not (project / ".venv/airtune-setup-models.stamp").exists()
    assert set_up(project).returncode == 0
    (project / ".venv/airtune-setup-models.stamp").write_text(fingerprint(project, MODELS_PINS) + "\n")
    result = set_up(project, "models")
    assert (result.returncode, result.stderr) == (0, "")
    fashion.rmdir()
    stand_in(project, "apt-get", 'echo "E: Unable to locate package $7"; exit 100')
    stand_in(project, "sudo", 'shift 2; exec "$@"')
    assert_refused(set_up(project, "models"), "apt could not install dataset-fashion-mnist")


def test_an_extra_there_is_not_is_named(project):
    assert_refused(set_up(project, "modles"), "no such extra: modles; there is: models")


def fingerprint(project: Path, pins: tuple[str, ...]) -> str:
    content = f"{project.resolve()}\n".encode() + b"".join((project / name).read_bytes() for name in pins)
    return hashlib.sha256(content).hexdigest()


def complete(project: Path) -> None:
    """A finished environment as the script leaves it: an interpreter and the stamp."""
    (project / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (project / ".venv/bin/python").unlink(missing_ok=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    (project / "gnuradio.py").touch()
    (project / ".venv/airtune-setup.stamp").write_text(f"{fingerprint(project, PINS)}\ngnuradio.py\n")
