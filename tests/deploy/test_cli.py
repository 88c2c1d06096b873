"""The frame of the ``airtune`` command: one line and one exit code for whatever goes wrong."""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fake_run import make_fake_run

from deploy.cli import COMMANDS, main
from protocol import errors
from protocol.control import StationControl
from protocol.keys import load_station_keys, make_keys

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "examples" / "demo.toml")
AIRTUNE = [sys.executable, "-m", "deploy"]
BUILT = [name for name in COMMANDS if importlib.util.find_spec(f"deploy.commands.{name.replace('-', '_')}")]


def airtune(*arguments, **options):
    return subprocess.run(
        [*AIRTUNE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **options
    )


def told(capsys):
    """The one line on stderr."""
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("airtune: ")
    assert output.err.count("\n") == 1
    return output.err


def test_the_overview_lists_every_command(capsys):
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(re.search(rf"^    {name}\b", overview, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", BUILT)
def test_every_command_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    assert re.search(rf"example.*\n?.*airtune {name} ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["alocate", "x.json"], "unknown command 'alocate'; the nearest is 'allocate'"),
        (["--jason"], "unrecognized arguments: --jason"),
        (["keys"], "required: EXPERIMENT.toml, --out; see: airtune keys --help"),
        (["run", "none.toml"], "none.toml: cannot be read"),
        (["run", DEMO, "--set", "training.local_stepz=3"], "the nearest valid one is 'local_steps'"),
        (["run", DEMO, "--set", "training.local_steps=many"], "training.local_steps: Expected `int`"),
        (["demo", "--clients", "65"], "must be 1 to 64"),
        (["demo", "--rounds", "0"], "experiment.rounds"),
        (["demo", "--set", "a.b=1", "--set", "c.d=2"], "use: airtune run examples/demo.toml --set a.b=1 --set c.d=2"),
        (["demo", "--rounds", "few"], "invalid int value"),
        (["client", DEMO, "--name", "edge-9"], "no client 'edge-9'"),
        (["client", DEMO, "--name", "edge-1"], "--keys DIR is missing"),
        (["client", DEMO, "--name", "edge-1", "--name", "edge-1", "--keys", "k"], "given twice"),
        (["base-station", DEMO], "make keys with: airtune keys"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments, line, capsys):
    assert main(arguments) == 2
    assert line in told(capsys)


def test_no_command_at_all_shows_the_overview(capsys):
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_keys_are_made_and_guarded(tmp_path, capsys):
    keys = str(tmp_path / "keys")
    assert main(["keys", DEMO, "--out", keys]) == 0
    assert "4 clients" in capsys.readouterr().out
    assert main(["keys", DEMO, "--out", keys]) == 9
    assert "--force" in told(capsys)
    (tmp_path / "keys" / "edge-1.key").chmod(0o644)
    assert main(["client", DEMO, "--name", "edge-1", "--keys", keys, "--station", "tcp://127.0.0.1:9"]) == 9
    assert "chmod 600" in told(capsys)


def test_a_client_needs_to_know_where_the_base_station_listens(tmp_path, capsys):
    make_keys(tmp_path / "keys", ["edge-1"])
    assert main(["client", DEMO, "--name", "edge-1", "--keys", str(tmp_path / "keys")]) == 2
    assert "--station tcp://HOST:PORT" in told(capsys)


def test_a_run_directory_that_is_there_is_kept(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 12
    assert "--resume" in told(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_to_resume_is_a_run_error(tmp_path, capsys):
    assert main(["run", DEMO, "--resume", "--out", str(tmp_path / "none")]) == 12
    assert "no such run" in told(capsys)


def test_a_full_disk_is_told(tmp_path):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*AIRTUNE, "keys", DEMO, "--out", str(tmp_path / "keys")], cwd=ROOT, stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert result.returncode == 8
    assert result.stderr == "airtune: the disk: no space left; free some and try again\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [*AIRTUNE, "--help"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_character_that_the_output_cannot_take_is_replaced(tmp_path):
    run = make_fake_run(tmp_path / "rün", clients=1, rounds=1, signals=False)
    result = airtune("runs", "--dir", str(run.parent), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "\nr?n   finished" in result.stdout


def test_ctrl_c_while_the_command_is_imported_ends_with_130():
    code = """
import builtins, runpy
found = builtins.__import__
def interrupted(name, *rest, **named):
    if name == "protocol.errors":
        raise KeyboardInterrupt
    return found(name, *rest, **named)
builtins.__import__ = interrupted
runpy.run_module("deploy", run_name="__main__")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (130, "airtune: interrupted\n")


def test_an_unexpected_fault_is_one_line_and_with_debug_a_traceback(monkeypatch, capsys):
    def broken(*_):
        raise ValueError("no\nsuch thing")

    monkeypatch.setattr("deploy.commands.keys.experiment_of", broken)
    assert main(["keys", DEMO, "--out", "keys"]) == 1
    assert told(capsys) == "airtune: unexpected ValueError: no such thing; --debug shows where\n"
    assert main(["keys", "--debug", DEMO, "--out", "keys"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_package_is_told(monkeypatch, capsys):
    def without(*_):
        raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere.at_all")

    monkeypatch.setattr("deploy.commands.keys.experiment_of", without)
    assert main(["keys", DEMO, "--out", "keys"]) == 3
    assert "'nowhere.at_all' is missing; run: make setup" in told(capsys)


def test_the_documented_exit_codes_are_those_of_the_error_tree():
    rows = re.findall(r"^\| (\d+) \| (?:(\w+) )?\|", (ROOT / "docs" / "exit-codes.md").read_text(), re.MULTILINE)
    tree = [value for value in vars(errors).values() if isinstance(value, type)]
    expected = {(str(error.exit_code), error.__name__) for error in tree}
    assert set(rows) == expected | {("0", ""), (str(errors.INTERRUPTED_EXIT_CODE), "")}
    assert len({error.exit_code for error in tree}) == len(tree)


def test_the_documented_commands_are_those_there_are():
    text = (ROOT / "docs" / "commands.md").read_text()
    assert set(re.findall(r"^\| `airtune ([a-z-]+)", text, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", BUILT)
def test_torch_is_not_loaded_to_parse_a_command(name):
    code = f"import sys; from deploy.cli import main; main(['{name}', '--help']); print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.splitlines()[-1] == "False"


def test_a_command_without_torch_starts_in_under_a_second_of_processor_time():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert airtune("run", "none.toml").returncode == 2
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime) < 1.0


def test_sigterm_ends_a_real_client_with_130(tmp_path):
    make_keys(tmp_path, ["edge-1"])
    keys = load_station_keys(tmp_path, ["edge-1"])
    station = StationControl("tcp://127.0.0.1:0", keys.pair, keys.clients)
    arguments = ["client", DEMO, "--name", "edge-1", "--keys", str(tmp_path), "--station", station.address]
    client = subprocess.Popen([*AIRTUNE, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert station.receive(100.0) is not None
        client.send_signal(signal.SIGTERM)
        _, complaint = client.communicate(timeout=30)
        assert (client.returncode, complaint) == (130, "airtune: interrupted\n")
    finally:
        client.kill()
        station.close()


def test_a_control_address_in_use_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        out = str(tmp_path / "run")
        result = airtune("run", DEMO, "--set", f"clients.control_address={address}", "--out", out, "--json")
    assert (result.returncode, result.stdout) == (7, "")
    assert result.stderr.splitlines()[-1].startswith(f"airtune: {address}: in use by another process")
