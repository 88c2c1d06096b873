"""Progress of a sweep: a bar over the rounds of all runs on a terminal, a line per run elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from deploy.bars import counting_bar
from deploy.sweeps.one_run import Outcome
from deploy.sweeps.planned import PlannedRun


class SweepDisplay:
    """Told of runs that end; looks at the databases of those in progress."""

    def __init__(self, missing: Sequence[PlannedRun], stream: TextIO, bar: Any | None, before: int) -> None:
        self._missing = missing
        self._stream = stream
        self._bar = bar
        self._task = bar.add_task("", total=sum(map(_rounds, missing)), completed=0) if bar is not None else None
        self._ended = before
        self._total = before + len(missing)
        self._done: set[Path] = set()
        self.look()

    def look(self) -> None:
        """Count committed rounds."""
        if self._bar is None:
            return
        rounds = sum(_rounds(run) if run.directory in self._done else run.rounds_done for run in self._missing)
        self._bar.update(self._task, completed=rounds, description=f"run {self._ended} of {self._total} done")

    def ended(self, outcome: Outcome) -> None:
        """A run is complete, or failed."""
        self._ended += 1
        self._done.add(outcome.run.directory)
        state = f"failed: {outcome.problem}" if outcome.problem else "done"
        line = f"{self._ended} of {self._total}: {outcome.run.method}, seed {outcome.run.seed}: {state}"
        if self._bar is None:
            print(line, file=self._stream, flush=True)
        elif outcome.problem:
            self._bar.console.print(line, highlight=False)


@contextmanager
def open_display(runs: Sequence[PlannedRun], missing: Sequence[PlannedRun], stream: TextIO) -> Iterator[SweepDisplay]:
    """The display that fits ``stream``."""
    before = len(runs) - len(missing)
    if not stream.isatty():
        yield SweepDisplay(missing, stream, None, before)
        return
    with counting_bar("rounds", stream) as bar:
        yield SweepDisplay(missing, stream, bar, before)


def _rounds(run: PlannedRun) -> int:
    return run.experiment.experiment.rounds
