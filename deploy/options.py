"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.configuration import Experiment
from protocol.errors import RunError
from protocol.experiment_file import asks_for_plan, experiment_tables, load_experiment

if TYPE_CHECKING:
    from base_station.planning.terms import RankPlan

RUNS = Path("runs")


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """``EXPERIMENT.toml [--set TABLE.KEY=VALUE]...``."""
    parser.add_argument("experiment", metavar="EXPERIMENT.toml", type=Path, help="the experiment file")
    add_overrides(parser, "one key, as in --set training.local_steps=4")


def add_overrides(parser: argparse.ArgumentParser, what: str) -> None:
    """``[--set TABLE.KEY=VALUE]...``, which overrides ``what``."""
    parser.add_argument(
        "--set", metavar="TABLE.KEY=VALUE", action="append", default=[], dest="overrides",
        help=f"override {what}; may be given several times",
    )  # fmt: skip


def add_output(parser: argparse.ArgumentParser) -> None:
    """``[--out DIR] [--json]``."""
    parser.add_argument("--out", metavar="DIR", type=Path, help="run directory (default: runs/NAME, numbered)")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end; progress on stderr")


def add_resume(parser: argparse.ArgumentParser) -> None:
    """``[--resume]``."""
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped (default: the newest of this name)"
    )


def experiment_of(args: argparse.Namespace) -> Experiment:
    """The experiment that ``add_experiment``'s arguments describe. Raises ConfigurationError."""
    return load_experiment(args.experiment, args.overrides)


def planned_experiment_of(args: argparse.Namespace) -> tuple[Experiment, RankPlan | None]:
    """The same with ``model.lora_rank = "auto"`` planned first (docs/plan.md); the plan, if there is one."""
    if not asks_for_plan(experiment_tables(args.experiment, args.overrides)):
        return experiment_of(args), None
    from deploy.planning.auto import load_planned

    return load_planned(args.experiment, args.overrides)


def run_directory(name: str, out: Path | None, resume: bool) -> Path:
    """Where a run of the experiment ``name`` goes, or is found with ``resume``.

    Raises RunError if a new run's directory is taken, or if there is nothing to resume.
    """
    if resume:
        found = out if out is not None else _newest(name)
        if found is None or not found.is_dir():
            raise RunError(f"{found or RUNS / name}: no such run to resume; name its directory with --out")
        return found
    if out is None:
        return _free(name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out}: already there; go on with it by --resume, or choose another --out")
    return out


def _free(name: str) -> Path:
    number = 1
    while (path := RUNS / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _newest(name: str) -> Path | None:
    """The highest-numbered run of ``name``."""
    numbered = re.compile(re.escape(name) + r"(?:-(\d+))?")
    matches = [(numbered.fullmatch(path.name), path) for path in RUNS.glob(f"{name}*") if path.is_dir()]
    found = [(int(match[1] or 1), path) for match, path in matches if match]
    return max(found)[1] if found else None
