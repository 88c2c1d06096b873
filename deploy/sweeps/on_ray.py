"""The missing runs of a sweep on a Ray cluster (optional extra ``ray``).

Nodes need airtune installed and the output directory mounted at the same path, as on any cluster with shared storage.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.sweeps.local import CORES_PER_RUN
from deploy.sweeps.one_run import Outcome, make_run
from deploy.sweeps.planned import PlannedRun
from protocol.errors import ConfigurationError, MissingPartError
from protocol.files import write_atomically


def make_runs_on_ray(
    runs: Sequence[PlannedRun], address: str, out: Path, waiting: Callable[[], None], wait_s: float
) -> Iterator[Outcome]:
    """Like ``local.make_runs`` on the cluster at ``address`` (``local``: one started here for this sweep).

    Raises MissingPartError without Ray, ConfigurationError if the cluster is not reached or ``out`` is not shared.
    """
    ray = _ray()
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"--ray {address}: no cluster is reached: {error}") from error
    try:
        on_node = ray.remote(num_cpus=CORES_PER_RUN, max_retries=0)(_make)
        _insist_on_shared(ray, out.resolve())
        left = {on_node.remote(replace(run, directory=run.directory.resolve()), Path.cwd()): run for run in runs}
        while left:
            done, _ = ray.wait(list(left), timeout=wait_s)
            for reference in done:
                yield Outcome(left.pop(reference), _problem(ray, reference))
            waiting()
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingPartError("--ray needs the Python package 'ray'; run: pip install 'airtune[ray]'") from error
    return ray


def _make(run: PlannedRun, here: Path) -> str:
    """On a node: the problem, if there was one. An experiment's relative paths begin at ``here``, if that is shared."""
    if here.is_dir():
        os.chdir(here)
    return make_run(run, CORES_PER_RUN, lambda: False).problem


def _problem(ray: Any, reference: Any) -> str:
    """What a run's task told, or what became of it: a node that is lost ends its own runs and no others."""
    try:
        return str(ray.get(reference))
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        return lines[-1].strip() if lines else type(error).__name__


def _insist_on_shared(ray: Any, out: Path) -> None:
    """A file written here must be seen by a node, or the runs would be lost there."""
    probe = out / f".probe-{secrets.token_hex(4)}"
    write_atomically(probe, b"")
    try:
        seen = ray.get(ray.remote(num_cpus=0)(Path.exists).remote(probe))
    finally:
        probe.unlink()
    if not seen:
        raise ConfigurationError(f"--out {out}: the cluster does not see this directory; choose one that is shared")
