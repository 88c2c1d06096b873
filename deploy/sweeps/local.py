"""The missing runs of a sweep, so many at a time on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from deploy.sweeps.one_run import Outcome, make_run
from deploy.sweeps.planned import PlannedRun

CORES_PER_RUN = 2
"""A run keeps about so many busy: the base station's model, the clients' and the radio take turns."""


def default_jobs() -> int:
    """Runs at a time that this machine bears."""
    return _share_of_cores(CORES_PER_RUN)


def make_runs(runs: Sequence[PlannedRun], jobs: int, waiting: Callable[[], None], wait_s: float) -> Iterator[Outcome]:
    """Make ``runs``, ``jobs`` at a time, and tell of each as it ends; ``waiting()`` is called every ``wait_s``.

    If the reader stops reading, or is interrupted, the runs in progress are ended (and may be gone on with).
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="run")
    try:
        left = {pool.submit(make_run, run, _share_of_cores(jobs), stop.is_set) for run in runs}
        while left:
            done, left = wait(left, wait_s, FIRST_COMPLETED)
            for future in done:
                yield future.result()
            waiting()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _share_of_cores(parts: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // parts)
