"""Progress of a running experiment: a live view on a terminal, timestamped lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from base_station.progress import Progress
from base_station.store.records import ClientRoundRecord, RoundRecord


class ClosableProgress(Progress, Protocol):
    """A progress display that has to be closed, so that the terminal is left in order."""

    def close(self) -> None:
        """Stop drawing; safe to call twice."""


def open_progress(title: str, stream: TextIO) -> ClosableProgress:
    """The display that fits ``stream``: live on a terminal that can draw it, else plain lines."""
    encoding = (getattr(stream, "encoding", "") or "").lower().replace("-", "")
    if stream.isatty() and encoding == "utf8":
        from rich.console import Console

        from deploy.live_display import LiveProgress

        console = Console(file=stream)
        if not console.is_dumb_terminal:
            return LiveProgress(title, console)
    return LineProgress(title, stream)


class LineProgress:
    """One line per event; for files, pipes and service logs."""

    def __init__(self, title: str, stream: TextIO, clock: Callable[[], time.struct_time] = time.localtime) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._rounds = 0
        self._joined: set[str] = set()
        self._print(f"{title}: loading model and data")

    def started(self, rounds: int, first_round: int, clients: list[str], accuracy: float) -> None:
        """Say what is about to run."""
        self._rounds = rounds
        names = ", ".join(clients)
        when = "before training" if first_round == 1 else f"after round {first_round - 1}"
        self._print(f"rounds {first_round} to {rounds} with {names}; accuracy {when} {accuracy:.3f}")

    def stage(self, round_index: int, stage: str) -> None:
        """Only the final test is worth a line; rounds have their own."""
        if stage == "test":
            self._print("evaluating on the test texts")

    def client(self, name: str, stage: str, snr_db: float | None = None) -> None:
        """Only joining is worth a line."""
        if stage == "joined" and name not in self._joined:
            self._joined.add(name)
            self._print(f"{name} joined")

    def round_done(self, record: RoundRecord, clients: list[ClientRoundRecord]) -> None:
        """The figures of a round in one line."""
        heard = sum(client.delivered_bits > 0 for client in clients)
        self._print(
            f"round {record.round_index} of {self._rounds}: accuracy {record.accuracy:.3f}, loss {record.loss:.3f}, "
            f"{heard} of {len(clients)} clients delivered, {megabits(record.air_bits)} on air in "
            f"{record.airtime_s:.2f} s, slowest latency {record.latency_s:.2f} s, took {record.wall_s:.1f} s"
        )
        if record.note:
            self._print(record.note)

    def warn(self, text: str) -> None:
        """A warning."""
        self._print(f"warning: {text}")

    def finished(self, text: str) -> None:
        """The closing lines, as they are."""
        with self._lock:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to put in order."""

    def _print(self, text: str) -> None:
        with self._lock:
            print(time.strftime("%H:%M:%S", self._clock()), text, file=self._stream, flush=True)


def megabits(bits: int) -> str:
    """``1.24 Mbit``, or ``310 kbit`` below a megabit."""
    return f"{bits / 1e6:.2f} Mbit" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit"
