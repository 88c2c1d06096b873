"""``airtune virtual-pluto`` as a process: its ready line, its end, and what it says when it cannot start."""

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.cli import main
from radio.virtual.control import ControlClient
from radio.virtual.control_messages import Advance, Status

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(*arguments):
    """A running server; its ready line."""
    command = [sys.executable, "-m", "deploy", "virtual-pluto", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def asked_for_version(uri):
    host, port = re.fullmatch(r"ip:([\d.]+):(\d+)", uri).groups()
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"VERSION\r\n")
        return client.recv(100)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_everything_is_and_ends_cleanly(tmp_path, number):
    (tmp_path / "lab.toml").write_text('[[radio]]\nname = "bs"\nserial = "1044abc"\n')
    arguments = ["--radio", "bs=127.0.0.1:0", "--radio", "edge=127.0.0.1:0", "--stepped", "--json"]
    with serving(*arguments, "--medium", str(tmp_path / "lab.toml")) as (process, line):
        ready = json.loads(line)
        assert (ready["ready"], ready["timing"], list(ready["radios"])) == (True, "stepped", ["bs", "edge"])
        assert asked_for_version(ready["radios"]["edge"]).startswith(b"0.24")
        assert ready["control"].startswith("tcp://127.0.0.1:")
        with ControlClient(ready["control"]) as control:
            assert control.send(Advance(samples=3_072)).time_s == pytest.approx(1e-4, rel=1e-4)
            assert control.send(Status()).radios[0].serial == "1044abc"
        held = socket.create_connection(("127.0.0.1", int(ready["radios"]["bs"].split(":")[2])))
        process.send_signal(number)
        _, complaint = process.communicate(timeout=30)
        assert (process.returncode, complaint) == (130, "airtune: interrupted\n")
        held.close()


def test_the_ready_line_for_people_names_radios_control_port_and_timing():
    with serving("--radio", "bs=127.0.0.1:0") as (_, line):
        assert re.fullmatch(r"ready: bs ip:127\.0\.0\.1:\d+; control tcp://127\.0\.0\.1:\d+; paced\n", line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "--radio NAME=ADDRESS is missing"),
        (["--radio", "bs"], "--radio bs: expected NAME=ADDRESS"),
        (["--radio", "bs=localhost"], "'localhost' is no IPv4 address"),
        (["--radio", "bs=127.0.0.1:70000"], "expected NAME=ADDRESS"),
        (["--radio", "a=127.0.0.1:0", "--radio", "a=127.0.0.2"], "there is a radio 'a' already"),
        (["--radio", "a=127.0.0.1:1", "--radio", "b=127.0.0.1:1"], "another radio has this address"),
        (["--radio", "a=192.0.2.1"], "radio 'a': 192.0.2.1:30431 cannot be listened at"),
        (["--radio", "a=127.0.0.1:0", "--medium", "none.toml"], "none.toml: cannot be read"),
        (["--radio", "a=127.0.0.1:0", "--control", "here"], "--control here"),
        (["--radio", "a=127.0.0.1:0", "--paced", "--stepped"], "not allowed with argument"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments, line, capsys):
    assert main(["virtual-pluto", *arguments]) == 2
    assert line in capsys.readouterr().err


def test_a_taken_address_has_its_own_exit_code(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["virtual-pluto", "--radio", f"bs=127.0.0.1:{port}"]) == 7
    assert f"radio 'bs': 127.0.0.1:{port} is taken by another process" in capsys.readouterr().err
