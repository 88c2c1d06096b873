"""A plan made, kept and found again: pilots at all candidate ranks, the online stage played on each, scores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from base_station.planning.channels import draw_rounds, sounding_s
from base_station.planning.play import choose_v
from base_station.planning.terms import Candidate, RankPlan, approximation_energies
from base_station.store.toml_text import toml_text
from base_station.tsfa.queues import feasibility
from learning.device import DeviceProfile, compute_s
from learning.own_files import own_files_text
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError
from protocol.experiment_file import experiment_to_dict
from protocol.files import write_atomically
from radio.channel.replay import replay_sha256

RANKS = (1, 2, 4, 8, 16, 32)
PLAYED_ROUNDS = 120
PLAN = "plan.json"
_VERSION = 2
"""Raised when the same input would give another plan."""
_NOT_OF_IT = {"experiment": ("name", "rounds", "test_texts", "validation_texts", "threads"), "tsfa": ("V",),
              "model": ("lora_rank",)}  # fmt: skip
"""Keys that a plan does not depend on."""


def plan_key(experiment: Experiment, ranks: Sequence[int]) -> str:
    """Hash of all that a plan depends on, the content of files included. Raises DataError if one cannot be read.

    With ``clients.device = "measured-here"`` a plan stands for the machine on which it is kept.
    """
    tables = experiment_to_dict(experiment)
    for table, keys in _NOT_OF_IT.items():
        for key in keys:
            tables[table].pop(key, None)
    text = f"{_VERSION} {list(ranks)} {PLAYED_ROUNDS}\n{toml_text(tables)}{replay_sha256(experiment) or ''}"
    text += own_files_text(experiment)
    return hashlib.blake2b(text.encode()).hexdigest()[:16]


def kept_plan(directory: Path) -> RankPlan | None:
    """The plan kept in a directory; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((directory / PLAN).read_bytes(), type=RankPlan)
    except (OSError, msgspec.DecodeError):
        return None


def check_latency_budget(experiment: Experiment, device: DeviceProfile) -> None:
    """Raises ConfigurationError, with the figures, if no policy can meet the latency budget."""
    grant_s = slowest_training_s(experiment, device) + sounding_s(experiment)
    budget = feasibility([grant_s], experiment.tsfa.latency_budget_s)
    if not budget.feasible:
        raise ConfigurationError(f"tsfa.latency_budget_s: {budget.sentence}")


def slowest_training_s(experiment: Experiment, device: DeviceProfile) -> float:
    """Model time in which the slowest client has trained, s."""
    training, tokens = experiment.training, experiment.model.sample_tokens
    return max(
        compute_s(device, training.local_steps, training.batch_size, tokens, member.compute_scale)
        for member in experiment.clients.members
    )


def make_plan(
    experiment: Experiment, ranks: Sequence[int], device: DeviceProfile, trained: Callable[[], None]
) -> RankPlan:
    """Pilot and play every rank of ``ranks``; ``trained()`` after every local training.

    Raises ConfigurationError, DataError, MissingPartError.
    """
    # torch takes seconds to import.
    from deploy.planning.pilot import PILOT_ROUNDS, client_weights, run_pilot

    slowest_s = slowest_training_s(experiment, device)
    drawn = draw_rounds(experiment, PLAYED_ROUNDS)
    weights = client_weights(experiment)
    pilots = [run_pilot(experiment, rank, device, trained) for rank in ranks]
    reference = pilots[-1]
    beyond = approximation_energies(reference.adapter, reference.scaling, ranks)
    gains = [pilot.loss_before - pilot.loss_after for pilot in pilots]
    candidates = []
    for pilot, gain, approximation_energy in zip(pilots, gains, beyond, strict=True):
        stage = choose_v(experiment, drawn, pilot.curves, weights, slowest_s)
        candidates.append(
            Candidate(
                rank=pilot.rank, gain=gain, unsent_share=stage.unsent_share, covariance_share=pilot.covariance_share,
                approximation_energy=approximation_energy, unsent_energy=stage.unsent_energy,
                covariance_energy=pilot.covariance_energy, approximation=max(gains) - gain, V=stage.V,
                mean_latency_s=stage.mean_latency_s, stationary_queue_s=stage.stationary_queue_s,
                mean_bits=stage.mean_bits,
            )
        )  # fmt: skip
    return RankPlan(
        key=plan_key(experiment, ranks), experiment=experiment.experiment.name,
        latency_budget_s=experiment.tsfa.latency_budget_s, pilot_rounds=PILOT_ROUNDS, played_rounds=PLAYED_ROUNDS,
        candidates=candidates,
    )  # fmt: skip


def keep_plan(plan: RankPlan, directory: Path) -> Path:
    """Write a plan. Raises StorageError."""
    path = directory / PLAN
    write_atomically(path, msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
    return path
