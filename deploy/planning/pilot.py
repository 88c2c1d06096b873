"""The pilot: a few federated rounds without a radio, on texts that only the base station has.

Clients, local training, error curves and aggregation are those of a run; every update arrives whole. The training
texts of the pilot are the validation texts, dealt like the training texts of the run; test texts are never touched.
Source: ours.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from base_station.aggregation import AGGREGATORS, Contribution
from base_station.folding import Folding
from base_station.planning.play import Curves
from edge_client.memory import RoundMemory
from edge_client.round import ClientRound
from edge_client.trainer import LocalTrainer, SharedModel
from learning.data import load_dataset
from learning.device import DeviceProfile
from learning.partition import partition_samples
from learning.samples import Dataset
from protocol.adapters import Adapter, adapter_to_bytes
from protocol.bursts import DataBurst, SoundingBurst, TransmitReport, Window
from protocol.configuration import Experiment
from protocol.messages import Plan, Ready

PILOT_ROUNDS = 3
PILOT_CLIENTS = 4
"""At most; more clients take the curves of these in turn."""


@dataclass(frozen=True)
class PilotResult:
    """What the pilot at one rank recorded."""

    rank: int
    adapter: Adapter
    """Global adapter after the last round."""
    scaling: float
    """alpha / r of it."""
    curves: Sequence[Curves]
    """By round, for every client of the experiment."""
    covariance_energy: float
    """Mean over rounds of ``sum_m |s C_m|_F^2``."""


class _PilotData(SharedModel):
    """Validation texts in the place of training texts."""

    @cached_property
    def dataset(self) -> Dataset:
        """The experiment's texts, its training texts left out."""
        whole = load_dataset(self.experiment)
        return replace(whole, train=whole.validation)


class _NoRadio:
    """Of a client that is only asked for its error curve."""

    def transmit(self, window: Window, burst: SoundingBurst | DataBurst, blocks: Sequence[bytes]) -> TransmitReport:
        """Never asked for."""
        raise AssertionError("the pilot sends nothing")

    def close(self) -> None:
        """Nothing to close."""


def run_pilot(
    experiment: Experiment, rank: int, device: DeviceProfile, trained: Callable[[], None]
) -> PilotResult:  # fmt: skip
    """Pilot at ``rank``; ``trained()`` is called after every local training. Raises DataError, ConfigurationError."""
    few = experiment.clients.members[:PILOT_CLIENTS]
    at_rank = msgspec.structs.replace(
        experiment,
        model=msgspec.structs.replace(experiment.model, lora_rank=rank),
        clients=msgspec.structs.replace(experiment.clients, members=few),
    )
    shared = _PilotData(at_rank)
    adapter, kappa = shared.model.get_adapter(), None
    with tempfile.TemporaryDirectory(prefix="airtune-") as scratch:
        clients = {m.name: _Client(m.name, at_rank, device, shared, Path(scratch) / m.name) for m in few}
        total = sum(client.samples for client in clients.values())
        folding = Folding({}) if experiment.training.aggregation == "exact-fold" else None
        rounds: list[dict[str, Ready]] = []
        covariances = []
        for index in range(1, PILOT_ROUNDS + 1):
            data = adapter_to_bytes(adapter)
            answers = {}
            for name, client in clients.items():
                folded = folding.message(name) if folding else None
                answers[name] = client.train(Plan(index, data, None, kappa, folded))
                trained()
            kappa = _kappa(answers) if kappa is None else kappa
            contributions = [Contribution(n, c.samples / total, c.delta(index)) for n, c in clients.items()]
            aggregator = AGGREGATORS[experiment.training.aggregation]()
            aggregate = aggregator.aggregate(adapter, contributions, shared.model.scaling)
            adapter = aggregate.adapter
            if folding:
                folding.add(aggregate.folded, clients)
            covariances.append(aggregate.covariance_energy)
            rounds.append(answers)
    return PilotResult(
        rank, adapter, shared.model.scaling, [_for_all(experiment, answers) for answers in rounds],
        float(np.mean(covariances)),
    )  # fmt: skip


def trainings(experiment: Experiment, ranks: Sequence[int]) -> int:
    """Local trainings that the pilots of ``ranks`` take."""
    return len(ranks) * PILOT_ROUNDS * min(PILOT_CLIENTS, len(experiment.clients.members))


def client_weights(experiment: Experiment) -> dict[str, float]:
    """Share of the training texts that each client of the run holds."""
    train = load_dataset(experiment).train
    samples = {name: len(own) for name, own in partition_samples(experiment, train).indices.items()}
    return {name: count / sum(samples.values()) for name, count in samples.items()}


class _Client:
    """One client of the pilot."""

    def __init__(
        self, name: str, experiment: Experiment, device: DeviceProfile, shared: SharedModel, folder: Path
    ) -> None:
        trainer = LocalTrainer(name, experiment, device, shared)
        self.samples = trainer.samples
        self._memory = RoundMemory(folder)
        self._round = ClientRound(name, experiment, "plan", b"", trainer, self._memory, _NoRadio())

    def train(self, plan: Plan) -> Ready:
        """Train from the plan's adapter; what the client would tell the base station."""
        return self._round.on_plan(plan)

    def delta(self, round_index: int) -> Adapter:
        """Its whole update of a round."""
        remembered = self._memory.recall(round_index)
        assert remembered is not None
        return remembered.delta


def _kappa(answers: Mapping[str, Ready]) -> float | None:
    """As the base station sets it after the first round."""
    ratios = [a.lora_energy / a.head_energy for a in answers.values() if a.lora_energy > 0 and a.head_energy > 0]
    return statistics.median(ratios) if ratios else None


def _for_all(experiment: Experiment, answers: Mapping[str, Ready]) -> Curves:
    """Curves of every client of the experiment; those beyond the pilot's take its own in turn."""
    recorded = [answer.curve for answer in answers.values()]
    members = experiment.clients.members
    return {member.name: recorded[i % len(recorded)] for i, member in enumerate(members)}
