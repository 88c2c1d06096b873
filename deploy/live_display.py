"""The live view of a run on a terminal."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from base_station.store.records import ClientRoundRecord, RoundRecord
from deploy.progress import megabits

_SPARKS = "▁▂▃▄▅▆▇█"
_LINK_BAR_DB = (0.0, 30.0)
"""SNR at which the link bar is empty and full."""
_LINK_BAR_WIDTH = 6
_RECENT_ROUNDS = 3
"""The time left is judged from this many last rounds."""
_STAGE_COLOURS = {"training": "cyan", "on the air": "magenta", "sounding": "magenta", "encoding": "blue"}


@dataclass
class ClientRow:
    """What is shown of one client."""

    stage: str = "waiting"
    snr_db: float | None = None
    last: ClientRoundRecord | None = None


@dataclass
class RunView:
    """What is known of the run so far, and how it is drawn."""

    title: str
    stage: str = "loading model and data"
    rounds: int = 0
    round_index: int = 0
    accuracies: list[float] = field(default_factory=list)
    clients: dict[str, ClientRow] = field(default_factory=dict)
    records: list[RoundRecord] = field(default_factory=list)
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=3))
    stage_since_s: float = 0.0

    def seconds_left(self) -> float | None:
        """Estimate from the last rounds; None before the first is done."""
        recent = [record.wall_s for record in self.records[-_RECENT_ROUNDS:]]
        if not recent:
            return None
        return (self.rounds - self.records[-1].round_index) * sum(recent) / len(recent)

    def draw(self, now_s: float) -> RenderableType:
        """The whole view."""
        parts: list[RenderableType] = [self._headline(now_s)]
        if self.clients:
            parts += [Text(), self._client_table()]
        if self.accuracies:
            parts += [Text(), self._results()]
        parts += [Text(f"! {text}", style="yellow") for text in self.warnings]
        left_s = self.seconds_left()
        subtitle = None if left_s is None else f"[dim]about {duration(left_s)} left"
        heading = f"[bold]airtune[/] [dim]·[/] {self.title}"
        return Panel(Group(*parts), title=heading, title_align="left", subtitle=subtitle, subtitle_align="right",
                     border_style="blue", padding=(0, 1))  # fmt: skip

    def _headline(self, now_s: float) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        elapsed = f"{self.stage} [dim]{now_s - self.stage_since_s:.0f} s[/]"
        if not self.rounds:
            grid.add_row(elapsed)
            return grid
        bar = ProgressBar(
            total=self.rounds,
            completed=len(self.records) and self.records[-1].round_index,
            width=30,
            complete_style="blue",
        )
        grid.add_row(f"[bold]round {self.round_index} of {self.rounds}[/]", bar, elapsed)
        return grid

    def _client_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("client", style="bold", min_width=6, overflow="ellipsis")
        table.add_column("stage", min_width=10, no_wrap=True)
        table.add_column("link", min_width=_LINK_BAR_WIDTH, no_wrap=True)
        table.add_column("SNR dB", justify="right", min_width=6, no_wrap=True)
        table.add_column("RBs", justify="right", min_width=3)
        table.add_column("MCS", min_width=9, no_wrap=True)
        for heading in ("kbit", "sparse", "latency s", "queue s"):
            table.add_column(heading, justify="right", min_width=len(heading), no_wrap=True)
        for name, row in self.clients.items():
            stage = Text(row.stage, style=_STAGE_COLOURS.get(row.stage, "green"))
            snr = "" if row.snr_db is None else f"{row.snr_db:.1f}"
            table.add_row(name, stage, link_bar(row.snr_db), snr, *_last_round(row.last))
        return table

    def _results(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        line = Text.assemble(
            (f"{self.accuracies[0]:.3f} ", "dim"), (sparkline(self.accuracies), "green"),
            (f" {self.accuracies[-1]:.3f}", "bold green"),
        )  # fmt: skip
        grid.add_row("[dim]accuracy[/]", line)
        if self.records:
            air_bits = sum(record.air_bits for record in self.records)
            airtime_s = sum(record.airtime_s for record in self.records)
            grid.add_row("[dim]on air[/]", f"{megabits(air_bits)} in {airtime_s:.2f} s of airtime")
        return grid


class LiveProgress:
    """A ``Progress`` that redraws a ``RunView`` four times a second."""

    def __init__(self, title: str, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._view = RunView(title, stage_since_s=time.monotonic())
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=False)
        self._live.start()

    def started(self, rounds: int, first_round: int, clients: list[str], accuracy: float) -> None:
        """Show the rounds to come and the clients."""
        with self._lock:
            self._view.rounds = rounds
            self._view.round_index = first_round
            self._view.accuracies = [accuracy]
            for name in clients:
                self._view.clients.setdefault(name, ClientRow())

    def stage(self, round_index: int, stage: str) -> None:
        """Show the stage and how long it has lasted."""
        with self._lock:
            self._view.round_index = round_index
            self._view.stage = stage
            self._view.stage_since_s = time.monotonic()

    def client(self, name: str, stage: str, snr_db: float | None = None) -> None:
        """Show a client's stage, and its SNR if that was measured."""
        with self._lock:
            row = self._view.clients.setdefault(name, ClientRow())
            row.stage = stage or row.stage
            row.snr_db = row.snr_db if snr_db is None else snr_db

    def round_done(self, record: RoundRecord, clients: list[ClientRoundRecord]) -> None:
        """Take a round's figures in."""
        with self._lock:
            self._view.records.append(record)
            self._view.accuracies.append(record.accuracy)
            for client in clients:
                self._view.clients.setdefault(client.client, ClientRow()).last = client
            if record.note:
                self._view.warnings.append(record.note)

    def warn(self, text: str) -> None:
        """Keep the last warnings in view."""
        with self._lock:
            self._view.warnings.append(text)

    def finished(self, text: str) -> None:
        """Leave the last view standing and print the closing lines below it."""
        with self._lock:
            self._view.stage = "done"
            self._view.stage_since_s = time.monotonic()
        self.close()
        self._console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Stop drawing and give the cursor back."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        with self._lock:
            return self._view.draw(time.monotonic())


def sparkline(values: list[float]) -> str:
    """A bar of one character per value, from 0 to the largest."""
    top = max(values) or 1.0
    return "".join(_SPARKS[min(len(_SPARKS) - 1, int(len(_SPARKS) * max(0.0, value) / top))] for value in values)


def link_bar(snr_db: float | None) -> Text:
    """A bar that fills with SNR; red below 8 dB, yellow below 16 dB, else green."""
    if snr_db is None:
        return Text("·" * _LINK_BAR_WIDTH, style="dim")
    low_db, high_db = _LINK_BAR_DB
    filled = round(_LINK_BAR_WIDTH * min(1.0, max(0.0, (snr_db - low_db) / (high_db - low_db))))
    colour = "red" if snr_db < 8 else "yellow" if snr_db < 16 else "green"
    return Text.assemble(("━" * filled, colour), ("━" * (_LINK_BAR_WIDTH - filled), "grey23"))


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _last_round(record: ClientRoundRecord | None) -> list[str]:
    if record is None:
        return [""] * 6
    return [
        str(record.rb_count), record.mcs, f"{record.delivered_bits / 1e3:.0f}", f"{record.sparsity:.0%}",
        f"{record.latency_s:.2f}", f"{record.queue_s:.2f}",
    ]  # fmt: skip
