"""Progress of a link simulation: a bar on a terminal, a line per point elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, TextIO

from deploy.bars import counting_bar
from radio.simulation.results import PointResult


class SweepProgress(Protocol):
    """What is told while points are simulated."""

    def bursts_done(self, count: int) -> None:
        """So many bursts more are done."""

    def point_done(self, result: PointResult) -> None:
        """A point is complete."""


def open_sweep_progress(bursts: int, stream: TextIO) -> AbstractContextManager[SweepProgress]:
    """The display that fits ``stream``; ``bursts`` are to come in all."""
    if stream.isatty():
        return _Bar(bursts, stream)
    return _Lines(stream)


class _Lines(AbstractContextManager[SweepProgress]):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def bursts_done(self, count: int) -> None:
        """Only points are worth a line."""

    def point_done(self, result: PointResult) -> None:
        print(_line(result), file=self._stream, flush=True)


class _Bar(AbstractContextManager[SweepProgress]):
    def __init__(self, bursts: int, stream: TextIO) -> None:
        self._progress = counting_bar("bursts", stream)
        self._task = self._progress.add_task("link", total=bursts)

    def __enter__(self) -> SweepProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def bursts_done(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def point_done(self, result: PointResult) -> None:
        """The bar tells it all."""


def _line(result: PointResult) -> str:
    return (
        f"{result.mcs} {result.snr_db:g} dB: burst error {result.burst_error_rate:.3f}, "
        f"goodput {result.goodput_bps / 1e6:.3f} Mbit/s, efficiency {result.efficiency:.3f}"
    )
