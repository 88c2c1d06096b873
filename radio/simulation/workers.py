"""Bursts in parallel: worker processes, each a new interpreter, that end with their parent."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Union

from protocol import errors
from protocol.errors import AirtuneError, RadioError
from radio.processes.children import child_environment
from radio.processes.link import Link, LinkClosedError
from radio.processes.messages import LinkMessage
from radio.simulation.burst import BurstOutcome, simulate_burst
from radio.simulation.scenario import Point, Scenario


class Batch(LinkMessage, frozen=True, tag="batch"):
    """Parent to worker: simulate bursts ``first .. first + count - 1`` of a point."""

    position: int
    """Whose they are, for whoever asked."""
    scenario: Scenario
    point: Point
    first: int
    count: int


class BatchDone(LinkMessage, frozen=True, tag="batch-done"):
    """Worker to parent: what became of them."""

    outcomes: list[BurstOutcome]


class BatchFailed(LinkMessage, frozen=True, tag="batch-failed"):
    """Worker to parent: why they cannot be simulated."""

    error: str
    """Name of the class in ``protocol.errors``."""
    reason: str


BatchAnswer = Union[BatchDone, BatchFailed]  # noqa: UP007


def simulate_batch(batch: Batch) -> list[BurstOutcome]:
    """The bursts of a batch, in order."""
    bursts = range(batch.first, batch.first + batch.count)
    return [simulate_burst(batch.scenario, batch.point, index) for index in bursts]


class Workers:
    """``jobs`` processes that simulate batches. A context manager.

    What a batch gives depends on the batch alone, so results do not depend on ``jobs``. Even one job is a process of
    its own, with one thread: sums of several threads differ in their last bits.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        self._workers = [_Worker() for _ in range(self.jobs)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.close()

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, list[BurstOutcome]]]:
        """Each batch with its outcomes, as they are done (in any order). To be consumed to its end.

        Raises what a worker could not do, RadioError if one has died.
        """
        waiting = iter(batches)
        with selectors.DefaultSelector() as busy:
            for worker in self._workers:
                worker.give(next(waiting, None), busy)
            while busy.get_map():
                for key, _ in busy.select():
                    worker = key.data
                    busy.unregister(worker.link)
                    batch, outcomes = worker.take()
                    worker.give(next(waiting, None), busy)
                    yield batch, outcomes


class _Worker:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "radio.simulation.worker", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=child_environment()
        )
        theirs.close()
        self.link = Link(ours, messages=BatchAnswer)
        self._batch: Batch | None = None

    def give(self, batch: Batch | None, busy: selectors.BaseSelector) -> None:
        """Start on ``batch`` (None: nothing is left) and be counted among the busy."""
        if batch is None:
            return
        self._batch = batch
        busy.register(self.link, selectors.EVENT_READ, self)
        # One that has died says so when its answer is read.
        with contextlib.suppress(LinkClosedError):
            self.link.send(batch)

    def take(self) -> tuple[Batch, list[BurstOutcome]]:
        """What was given and its outcomes."""
        try:
            answer, _ = self.link.receive()
        except LinkClosedError as error:
            raise RadioError(
                f"a simulation process ended ({self.process.wait()}); try again, with fewer --jobs if memory is short"
            ) from error
        if isinstance(answer, BatchFailed):
            kind: type[AirtuneError] = getattr(errors, answer.error)
            raise kind(answer.reason)
        assert isinstance(answer, BatchDone)
        assert self._batch is not None
        return self._batch, answer.outcomes

    def close(self) -> None:
        self.process.wait()
        self.link.close()


def default_jobs() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))
