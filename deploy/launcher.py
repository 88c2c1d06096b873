"""The client processes of a testbed on one machine: started, started again when they die, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.configuration import Experiment
from protocol.errors import AccessError, ConfigurationError, DataError, MissingPartError, PeerLostError
from protocol.processes import end_processes

RESTARTS = 3
"""How often a client process that died is started again."""
_POLL_S = 0.2
_END_PATIENCE_S = 10.0
"""After the run, how long clients may take to end by themselves."""
_HOPELESS = {error.exit_code for error in (ConfigurationError, MissingPartError, DataError, AccessError)}
"""Exit codes of causes that another start does not change."""

Command = Callable[[Sequence[str]], list[str]]


class ClientProcesses:
    """One process per group of clients, watched by a thread until ``close``.

    ``command(names)`` is the command line that runs a group. The thread starts every process itself: the kernel
    ties a child to the thread that started it (``protocol.processes``). ``on_all_lost`` is called from the thread
    once no process is left and none will be started again; ``failure`` then says why.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[str]],
        command: Command,
        log_dir: Path,
        warn: Callable[[str], None],
        on_all_lost: Callable[[], None],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.failure: PeerLostError | None = None
        self._groups = [tuple(group) for group in groups]
        self._command = command
        self._log_dir = log_dir
        self._warn = warn
        self._on_all_lost = on_all_lost
        self._environment = environment
        self._restarts = dict.fromkeys(self._groups, 0)
        self._running: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}
        self._finished = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="client-processes", daemon=True)

    def start(self) -> None:
        """Start all processes and watch them."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def finish(self) -> None:
        """Let the clients end by themselves (they were told that the run is over), then ``close``."""
        deadline = time.monotonic() + _END_PATIENCE_S
        while self._running and time.monotonic() < deadline and not self._closing.wait(_POLL_S / 4):
            pass
        self.close()

    def close(self) -> None:
        """End every process that is left; safe to call twice, or without ``start``."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()

    # ---- everything below runs in the watching thread -----------------------------------

    def _supervise(self) -> None:
        try:
            for group in self._groups:
                self._spawn(group)
            while self._running and not self._closing.wait(_POLL_S):
                for group, process in list(self._running.items()):
                    if process.poll() is not None:
                        self._bury(group, process.returncode)
        finally:
            end_processes(list(self._running.values()))
            self._running.clear()

    def _spawn(self, group: tuple[str, ...]) -> None:
        with self._log_path(group).open("ab") as log:
            self._running[group] = subprocess.Popen(
                self._command(group), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                start_new_session=True,
            )  # fmt: skip

    def _bury(self, group: tuple[str, ...], code: int) -> None:
        """Decide what follows the end of a process."""
        del self._running[group]
        if code == 0:
            self._finished += 1
            return
        cause = f"client {', '.join(group)} ended: {self._last_words(group, code)}"
        if code not in _HOPELESS and self._restarts[group] < RESTARTS:
            self._restarts[group] += 1
            self._warn(f"{cause}; starting it again ({self._restarts[group]} of {RESTARTS})")
            self._spawn(group)
            return
        self._warn(f"{cause}; it is not started again")
        if not self._running and not self._finished:
            self.failure = PeerLostError(f"no client is left; the last one: {cause}; logs are in {self._log_dir}")
            self._on_all_lost()

    def _log_path(self, group: tuple[str, ...]) -> Path:
        return self._log_dir / f"{group[0]}.log"

    def _last_words(self, group: tuple[str, ...], code: int) -> str:
        """The last ``airtune:`` line of its log, else what ended it."""
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        lines = self._log_path(group).read_text("utf-8", errors="replace").splitlines()
        told = [line.removeprefix("airtune: ") for line in lines if line.startswith("airtune: ")]
        return told[-1] if told else f"exit code {code}"


def client_groups(experiment: Experiment) -> list[list[str]]:
    """Names of the clients, grouped as the experiment's ``process`` keys say; others are alone."""
    groups: dict[tuple[str, str], list[str]] = {}
    for member in experiment.clients.members:
        key = ("process", member.process) if member.process else ("client", member.name)
        groups.setdefault(key, []).append(member.name)
    return list(groups.values())


def client_command(experiment: Path, keys: Path, station_address: str, state: Path) -> Command:
    """Command lines of client processes that die with this process."""
    # Without -P the current directory would come first, and a folder called "radio" there would be imported.
    safe = ["-P"] if sys.version_info >= (3, 11) else []

    def command(names: Sequence[str]) -> list[str]:
        identities = [part for name in names for part in ("--name", name)]
        return [
            sys.executable, *safe, "-m", "deploy", "client", str(experiment), *identities,
            "--keys", str(keys), "--station", station_address, "--state", str(state), "--parent", str(os.getpid()),
        ]  # fmt: skip

    return command


def packages_environment() -> dict[str, str]:
    """The environment of Python processes of ours: as here, our packages first."""
    packages = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [packages, os.environ.get("PYTHONPATH", "")]))}


def client_environment(experiment: Experiment) -> dict[str, str]:
    """Environment of client processes: our packages first, and as many threads as ``training.threads`` says."""
    return {**packages_environment(), "OMP_NUM_THREADS": str(experiment.training.threads)}
