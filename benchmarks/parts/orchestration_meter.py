"""Starts a system under test in a network namespace of its own and measures its rounds from outside.

The namespace has a loopback interface and nothing else: its counter is what the system put on the wire, headers
included, and every process inside belongs to the system, however it was started. Where the machine allows no
namespaces (``unshare``) bytes are not counted and the system's processes are its descendants.
"""

from __future__ import annotations

import functools
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.parts.orchestration_marks import mark_of
from protocol.processes import end_processes

START_PATIENCE_S = 600.0
ROUND_PATIENCE_S = 900.0
MEMORY_SAMPLE_S = 0.05
_UP = 'ip link set lo up && exec "$@"'


@dataclass(frozen=True)
class Round:
    """One measured round."""

    round_s: float
    cpu_s: float
    """Of all processes, user and system."""
    wire_bytes: int | None
    """Sent over loopback, headers and acknowledgements included; None where it cannot be counted."""
    parts_s: dict[str, float]


@dataclass
class System:
    """A system that is running and waits to be asked for a round."""

    name: str
    process: subprocess.Popen[bytes]
    connection: socket.socket
    isolated: bool
    log: Path
    rounds: list[Round] = field(default_factory=list)
    peak_bytes: int = 0
    """Proportional set size of all processes at its largest."""
    most_processes: int = 0

    def __post_init__(self) -> None:
        self._lines = self.connection.makefile("r", encoding="utf-8")
        self._expect("ready", START_PATIENCE_S)

    def play(self) -> None:
        """One round, measured."""
        cpu_s, sent = self._cpu_s(), self._wire_bytes()
        done = self._round()
        wire_bytes = None if sent is None else (self._wire_bytes() or 0) - sent
        self.rounds.append(Round(done["round_s"], self._cpu_s() - cpu_s, wire_bytes, done["parts_s"]))
        self._expect("ready", ROUND_PATIENCE_S)

    def warm_up(self) -> None:
        """One round that does not count: first contact, caches."""
        self._round()
        self._expect("ready", ROUND_PATIENCE_S)

    def weigh(self) -> None:
        """One round while memory is looked at; it would disturb the others."""
        over = threading.Event()
        sampler = threading.Thread(target=self._sample_memory, args=(over,))
        sampler.start()
        try:
            self._round()
        finally:
            over.set()
            sampler.join()
        self._expect("ready", ROUND_PATIENCE_S)

    def close(self) -> None:
        """No more rounds; whatever is left of the system is ended."""
        family = self._family()
        try:
            self.connection.sendall(b"enough\n")
            self.process.wait(60.0)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            self._lines.close()
            self.connection.close()
            end_processes([self.process])
            _end(family)

    def _round(self) -> dict:
        self.connection.sendall(b"round\n")
        return self._expect("done", ROUND_PATIENCE_S)

    def _expect(self, mark: str, patience_s: float) -> dict:
        self.connection.settimeout(patience_s)
        try:
            said = mark_of(self._lines.readline())
        except (EOFError, TimeoutError) as error:
            raise RuntimeError(f"{self.name}: {error or 'no answer'}\n{_end_of(self.log)}") from error
        if said["mark"] != mark:
            raise RuntimeError(f"{self.name}: said {said['mark']}, not {mark}")
        return said

    def _family(self) -> list[psutil.Process]:
        if not self.isolated:
            return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        own = _network_of(self.process.pid)
        return [psutil.Process(pid) for pid in psutil.pids() if own is not None and _network_of(pid) == own]

    def _cpu_s(self) -> float:
        """CPU time of all processes and of those that have ended and were waited for."""
        return sum(_told(lambda p=process: sum(p.cpu_times()[:4])) for process in self._family())

    def _wire_bytes(self) -> int | None:
        if not self.isolated:
            return None
        table = Path(f"/proc/{self.process.pid}/net/dev").read_text("ascii")
        return int(next(line for line in table.splitlines() if line.lstrip().startswith("lo:")).split()[9])

    def _sample_memory(self, over: threading.Event) -> None:
        while True:
            family = self._family()
            self.most_processes = max(self.most_processes, len(family))
            sizes = [_told(lambda p=process: p.memory_full_info().pss) for process in family]
            self.peak_bytes = max(self.peak_bytes, int(sum(sizes)))
            if over.wait(MEMORY_SAMPLE_S):
                return


@contextmanager
def started(name: str, command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[System]:
    """``command`` with ``--marks SOCKET`` added, running; ended on exit. RuntimeError, with its log, if it fails."""
    prefix = _namespace()
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(directory) / "marks")
        listener.bind(path)
        listener.listen(1)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*prefix, *command, "--marks", path], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **environment},
            )  # fmt: skip
        try:
            system = System(name, process, _accepted(listener, process, log), bool(prefix), log)
        except BaseException:
            end_processes([process])
            raise
        try:
            yield system
        finally:
            system.close()


def _accepted(listener: socket.socket, process: subprocess.Popen[bytes], log: Path) -> socket.socket:
    patience_ends = time.monotonic() + START_PATIENCE_S
    while process.poll() is None and time.monotonic() < patience_ends:
        if select.select([listener], [], [], 0.5)[0]:
            return listener.accept()[0]
    raise RuntimeError(f"it did not start (exit code {process.poll()})\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text("utf-8", errors="replace")[-2000:]


@functools.cache
def _namespace() -> list[str]:
    """Command line before a command that puts it into a network namespace of its own; empty if that is not to be."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return []
    for options in (["-n"], ["-r", "-n"]):
        prefix = ["unshare", *options, "sh", "-c", _UP, "sh"]
        if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return prefix
    return []


def _network_of(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it ended
        return None


def _told(question: Callable[[], float]) -> float:
    try:
        return question()
    except psutil.Error:  # it ended
        return 0.0


def _end(family: Sequence[psutil.Process]) -> None:
    """Processes that outlived the one we started (daemons) are killed one by one."""
    _, left = psutil.wait_procs(list(family), timeout=5.0)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
