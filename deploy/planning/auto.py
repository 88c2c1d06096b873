"""``model.lora_rank = "auto"``: rank and V from the plan, made first if it is not there yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from base_station.planning.terms import RankPlan
from base_station.store.files import check_directory
from deploy.device import device_profile
from deploy.options import RUNS
from deploy.planning.planner import RANKS, check_latency_budget, keep_plan, kept_plan, make_plan, plan_key
from deploy.planning.progress import open_bar
from protocol.configuration import Experiment
from protocol.experiment_file import asks_for_plan, experiment_from_dict, experiment_tables

PLANS = RUNS / "plans"


def load_planned(path: Path, overrides: Sequence[str]) -> tuple[Experiment, RankPlan]:
    """The experiment of a file with an automatic rank, resolved, V with it; and the plan.

    Raises what ``load_experiment`` and ``find_plan`` raise.
    """
    experiment = load_unplanned(path, overrides, RANKS)
    plan = find_plan(experiment, RANKS)
    return resolved(experiment, plan), plan


def load_unplanned(path: Path, overrides: Sequence[str], ranks: Sequence[int]) -> Experiment:
    """The experiment of a file, an automatic rank taken as the largest candidate. Raises ConfigurationError."""
    tables = experiment_tables(path, overrides)
    if asks_for_plan(tables):
        tables["model"]["lora_rank"] = max(ranks)
    return experiment_from_dict(tables, str(path))


def resolved(experiment: Experiment, plan: RankPlan) -> Experiment:
    """The experiment with the plan's rank and V."""
    best = plan.best
    return msgspec.structs.replace(
        experiment,
        model=msgspec.structs.replace(experiment.model, lora_rank=best.rank),
        tsfa=msgspec.structs.replace(experiment.tsfa, V=best.V),
    )


def find_plan(experiment: Experiment, ranks: Sequence[int]) -> RankPlan:
    """The kept plan of what goes into it, else a new one, kept. A kept one may be of an experiment of another name.

    Raises what ``make_plan`` raises; before anything is trained StorageError if the plan could not be kept, and
    ConfigurationError if no policy can meet the latency budget.
    """
    directory = PLANS / plan_key(experiment, ranks)
    plan = kept_plan(directory)
    if plan is None:
        check_directory(PLANS)
        device = device_profile(experiment)
        check_latency_budget(experiment, device)
        # torch takes seconds to import.
        from deploy.planning.pilot import trainings

        with open_bar("plan", "trainings", trainings(experiment, ranks), sys.stderr) as advance:
            plan = make_plan(experiment, ranks, device, advance)
        keep_plan(plan, directory)
    return msgspec.structs.replace(plan, experiment=experiment.experiment.name)
