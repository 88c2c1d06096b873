"""Client processes: watched, started again, ended, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from deploy import testbed
from deploy.launcher import RESTARTS, ClientProcesses, client_command, client_environment, client_groups
from protocol.experiment_file import experiment_from_dict
from protocol.processes import end_processes

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0


class Watched:
    """Client processes that run a line of Python instead of a client."""

    def __init__(self, directory: Path, code: str, groups: list[list[str]] | None = None) -> None:
        self.warnings: list[str] = []
        self.lost = threading.Event()
        self.processes = ClientProcesses(
            groups or [["a"]], lambda names: [sys.executable, "-c", code, *names], directory, self.warnings.append,
            self.lost.set,
        )  # fmt: skip


def test_a_client_that_dies_is_started_three_times_more_and_then_given_up(tmp_path):
    watched = Watched(tmp_path, "import sys; sys.exit('airtune: out of memory')")
    watched.processes.start()
    assert watched.lost.wait(WAIT_S)
    watched.processes.close()
    assert len(watched.warnings) == RESTARTS + 1
    assert "client a ended: out of memory; starting it again (1 of 3)" in watched.warnings[0]
    assert "not started again" in watched.warnings[-1]
    assert (tmp_path / "a.log").read_text().count("out of memory") == RESTARTS + 1
    assert "no client is left; the last one: client a ended: out of memory" in str(watched.processes.failure)


@pytest.mark.parametrize("code", [2, 3, 4, 9])
def test_a_cause_that_stays_is_not_tried_again(tmp_path, code):
    watched = Watched(tmp_path, f"import sys; sys.exit({code})")
    watched.processes.start()
    assert watched.lost.wait(WAIT_S)
    watched.processes.close()
    assert watched.warnings == [f"client a ended: exit code {code}; it is not started again"]


def test_clients_that_finish_are_left_in_peace(tmp_path):
    watched = Watched(tmp_path, "", groups=[["a"], ["b", "c"]])
    watched.processes.start()
    watched.processes.finish()
    assert watched.warnings == []
    assert not watched.lost.is_set()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "b.log"]


def test_a_killed_client_is_named_with_its_signal_and_others_go_on(tmp_path):
    code = "import os, signal, sys, time; sys.argv[1] == 'a' and os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)"
    ready = threading.Event()
    watched = Watched(tmp_path, code, groups=[["a"], ["b"]])
    watched.processes._warn = lambda text: (watched.warnings.append(text), "not started" in text and ready.set())
    watched.processes.start()
    assert ready.wait(WAIT_S)
    watched.processes.close()
    assert "client a ended: killed by SIGKILL" in watched.warnings[0]
    assert not watched.lost.is_set()


def test_closing_ends_every_process(tmp_path):
    code = "import os, time; open(os.devnull); print(os.getpid(), flush=True); time.sleep(60)"
    watched = Watched(tmp_path, code, groups=[["a"], ["b"]])
    watched.processes.start()
    while not all((tmp_path / f"{name}.log").exists() and (tmp_path / f"{name}.log").read_text() for name in "ab"):
        threading.Event().wait(0.02)
    watched.processes.close()
    watched.processes.close()
    for name in "ab":
        assert not psutil.pid_exists(int((tmp_path / f"{name}.log").read_text()))


def test_a_process_that_ignores_sigterm_is_killed():
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    stubborn = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == b"up\n"
    end_processes([stubborn], patience_s=0.2)
    assert stubborn.returncode == -signal.SIGKILL
    stubborn.stdout.close()


def test_clients_die_with_a_launcher_that_was_killed(tmp_path):
    child = (
        "import os, sys, time; from protocol.processes import die_with_parent; die_with_parent(int(sys.argv[1]));"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    launcher = f"""
import os, pathlib, sys, time
from deploy.launcher import ClientProcesses
command = lambda names: [sys.executable, "-c", {child!r}, str(os.getpid())]
ClientProcesses([["a"], ["b"]], command, pathlib.Path({str(tmp_path)!r}), print, print).start()
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", launcher], cwd=ROOT)
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    while not all(log.exists() and log.read_text().endswith("\n") for log in logs):
        threading.Event().wait(0.02)
    children = [psutil.Process(int(log.read_text())) for log in logs]
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=WAIT_S)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_client_whose_parent_is_gone_already_ends_at_once():
    code = "from protocol.processes import die_with_parent; die_with_parent(1 << 22); print('alive')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, b"")


def test_clients_of_one_process_key_share_a_process():
    members = [
        {"name": "a", "distance_m": 1.0},
        {"name": "b", "distance_m": 1.0, "process": "rack"},
        {"name": "rack", "distance_m": 1.0},
        {"name": "c", "distance_m": 1.0, "process": "rack"},
    ]
    experiment = experiment_from_dict({"experiment": {"name": "x"}, "clients": {"members": members}}, "test")
    assert client_groups(experiment) == [["a"], ["b", "c"], ["rack"]]


def test_a_folder_of_the_same_name_where_the_user_stands_is_not_imported(tmp_path):
    for package in ("deploy", "protocol"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('the wrong package')")
    members = [{"name": "a", "distance_m": 1.0}]
    experiment = experiment_from_dict({"experiment": {"name": "x"}, "clients": {"members": members}}, "test")
    command = client_command(Path("none.toml"), Path("keys"), "tcp://127.0.0.1:9", tmp_path)(["a"])
    result = subprocess.run(
        command, cwd=tmp_path, env=client_environment(experiment), capture_output=True, text=True, check=False
    )
    assert result.stderr.startswith("airtune: none.toml: cannot be read")
    assert os.fspath(ROOT) in client_environment(experiment)["PYTHONPATH"]


def test_an_interrupted_base_station_goes_on_alone_and_with_its_own_keys(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(testbed, "_station_keys", lambda *_: None)
    monkeypatch.setattr(testbed, "_run_base_station", interrupted)
    (tmp_path / "config.toml").touch()
    members = [{"name": "a", "mean_snr_db": 20.0}]
    experiment = experiment_from_dict({"experiment": {"name": "x"}, "clients": {"members": members}}, "test")
    with pytest.raises(KeyboardInterrupt):
        testbed.run_station(experiment, tmp_path, Path("lab-keys"), resume=False, as_json=True)
    wanted = f"airtune base-station {tmp_path}/config.toml --resume --out {tmp_path} --keys lab-keys"
    assert f"go on with: {wanted}\n" in capsys.readouterr().err
