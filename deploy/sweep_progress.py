"""Progress of a link simulation: a bar on a terminal, a line per point elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from deploy.bars import counting_bar
from radio.simulation.results import PointResult

if TYPE_CHECKING:
    from rich.progress import Progress


class SweepProgress(Protocol):
    """What is told while points are simulated."""

    def bursts_done(self, count: int) -> None:
        """So many bursts more are done."""

    def point_done(self, result: PointResult) -> None:
        """A point is complete."""


@contextmanager
def open_sweep_progress(bursts: int, stream: TextIO) -> Iterator[SweepProgress]:
    """The display that fits ``stream``; ``bursts`` are to come in all."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    with counting_bar("bursts", stream) as bar:
        yield _Bar(bar, bursts)


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def bursts_done(self, count: int) -> None:
        """Only points are worth a line."""

    def point_done(self, result: PointResult) -> None:
        print(_line(result), file=self._stream, flush=True)


class _Bar:
    def __init__(self, bar: Progress, bursts: int) -> None:
        self._bar = bar
        self._task = bar.add_task("link", total=bursts)

    def bursts_done(self, count: int) -> None:
        self._bar.advance(self._task, count)

    def point_done(self, result: PointResult) -> None:
        """The bar tells it all."""


def _line(result: PointResult) -> str:
    return (
        f"{result.mcs} {result.snr_db:g} dB: burst error {result.burst_error_rate:.3f}, "
        f"goodput {result.goodput_bps / 1e6:.3f} Mbit/s, efficiency {result.efficiency:.3f}"
    )
