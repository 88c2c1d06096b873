"""One run of a sweep, made in a process of its own, here or on a node of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from base_station.store.files import storage_errors
from base_station.store.toml_text import toml_text
from deploy.launcher import packages_environment
from deploy.sweeps.planned import PlannedRun
from protocol.experiment_file import experiment_to_dict
from protocol.files import write_atomically
from protocol.processes import end_processes

LOGS = "logs"
_POLL_S = 0.5


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``problem`` is empty, or the last line that its process said."""

    run: PlannedRun
    problem: str = ""


def make_run(run: PlannedRun, cores: int, stopped: Callable[[], bool]) -> Outcome:
    """Make a run on about ``cores`` cores, or go on with it, until it is complete or ``stopped()``.

    The process dies with this one. The thread that calls must live as long. Raises StorageError.
    """
    folder = run.directory.parent / LOGS
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    experiment, log = folder / f"{run.directory.name}.toml", folder / f"{run.directory.name}.log"
    write_atomically(experiment, toml_text(experiment_to_dict(run.experiment)).encode())
    arguments = ["run", str(experiment), "--out", str(run.directory), "--json", *(["--resume"] if run.started else [])]
    safe = ["-P"] if sys.version_info >= (3, 11) else []
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *safe, "-m", "deploy.sweeps.child", str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=run_environment(cores), start_new_session=True,
        )  # fmt: skip
    try:
        while not stopped():
            try:
                code = process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            return Outcome(run, "" if code == 0 else _last_words(log, code))
        return Outcome(run, "stopped")
    finally:
        end_processes([process], patience_s=20.0)


def run_environment(cores: int) -> dict[str, str]:
    """Of a run among others: OpenMP's threads wait for each other by spinning, so none of its processes may have more
    of them than the run has cores, whatever the experiment says.
    """
    return {**packages_environment(), "OMP_THREAD_LIMIT": str(cores)}


def _last_words(log: Path, code: int) -> str:
    """The last ``airtune:`` line of a log, else the exit code."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    told = [line.removeprefix("airtune: ") for line in lines if line.startswith("airtune: ")]
    return told[-1] if told else f"exit code {code}; its log is {log}"
