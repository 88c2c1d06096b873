"""The pilot: a few federated rounds without a radio, on texts that only the base station has.

Clients, local training, error curves and aggregation are those of a run; every update arrives whole. The training
texts of the pilot are two thirds of the validation texts, dealt like the training texts of the run; it is judged on
the others. Test texts are never touched. Source: ours.
"""

from __future__ import annotations

import math
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
from base_station.planning.play import ENERGY_FLOOR, Curves
from edge_client.memory import RoundMemory
from edge_client.round import ClientRound
from edge_client.trainer import LocalTrainer, SharedModel
from learning.data import load_dataset
from learning.device import DeviceProfile
from learning.evaluation import evaluate
from learning.partition import partition_samples
from learning.samples import Dataset
from learning.tasks import Inputs
from protocol.adapters import Adapter, adapter_to_bytes
from protocol.bursts import DataBurst, SoundingBurst, TransmitReport, Window
from protocol.configuration import Experiment
from protocol.messages import Plan, Ready

PILOT_ROUNDS = 3
PILOT_CLIENTS = 4
"""At most; more clients take the curves of these in turn."""
JUDGED_SHARE = 1.0 / 3.0
"""Of the validation texts."""
JUDGED_TEXTS = 400
"""At most."""


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
    covariance_share: float
    """Mean over rounds of that over the energy of the whole updates, ``sum_n w_n E_n(0)``."""
    loss_before: float
    """Of the first global adapter on texts that no client of the pilot has, nats."""
    loss_after: float
    """Of the last one."""


class _PilotData(SharedModel):
    """Validation texts in the place of training texts, a part of them kept apart."""

    @cached_property
    def dataset(self) -> Dataset:
        """The experiment's texts, its training texts left out."""
        whole = load_dataset(self.experiment)
        judged = int(JUDGED_SHARE * len(whole.validation))
        everything = np.arange(len(whole.validation))
        return replace(
            whole, train=whole.validation.take(everything[judged:]),
            validation=whole.validation.take(everything[: min(judged, JUDGED_TEXTS)]),
        )  # fmt: skip

    @cached_property
    def judged(self) -> Inputs:
        """The texts kept apart."""
        contents = self.dataset.validation.contents
        return self.model.task.encode(contents, self.model.directory, self.experiment.model)

    def loss(self, adapter: Adapter) -> float:
        """Of a global adapter on the texts kept apart, nats."""
        self.model.set_adapter(adapter)
        labels = self.dataset.validation.labels
        return evaluate(self.model, self.judged, labels, len(self.dataset.class_names)).loss


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
        # Clients remember their updates only with a residual; here nothing stays unsent, so it is always zero.
        soft=msgspec.structs.replace(experiment.soft, residual="on"),
        clients=msgspec.structs.replace(experiment.clients, members=few),
    )
    with tempfile.TemporaryDirectory(prefix="airtune-") as scratch:
        pilot = _Pilot(at_rank, device, Path(scratch))
        loss_before = pilot.loss()
        rounds = [pilot.round(index, trained) for index in range(1, PILOT_ROUNDS + 1)]
    return PilotResult(
        rank=rank, adapter=pilot.adapter, scaling=pilot.shared.model.scaling,
        curves=[_for_all(experiment, r.answers) for r in rounds],
        covariance_energy=statistics.fmean(r.covariance_energy for r in rounds),
        covariance_share=statistics.fmean(r.covariance_energy / r.update_energy for r in rounds),
        loss_before=loss_before, loss_after=pilot.loss(),
    )  # fmt: skip


@dataclass(frozen=True)
class _PilotRound:
    answers: dict[str, Ready]
    covariance_energy: float
    update_energy: float


class _Pilot:
    """The clients and the global adapter of a pilot."""

    def __init__(self, experiment: Experiment, device: DeviceProfile, folder: Path) -> None:
        self.shared = _PilotData(experiment)
        self.adapter = self.shared.model.get_adapter()
        self._clients = {
            m.name: _Client(m.name, experiment, device, self.shared, folder / m.name)
            for m in experiment.clients.members
        }
        total = sum(client.samples for client in self._clients.values())
        self._weights = {name: client.samples / total for name, client in self._clients.items()}
        self._aggregator = AGGREGATORS[experiment.training.aggregation]()
        self._folding = Folding({}) if experiment.training.aggregation == "exact-fold" else None
        self._kappa: float | None = None

    def round(self, index: int, trained: Callable[[], None]) -> _PilotRound:
        """Every client trains from the global adapter, and every update arrives whole."""
        data = adapter_to_bytes(self.adapter)
        answers = {}
        for name, client in self._clients.items():
            folded = self._folding.message(name) if self._folding else None
            answers[name] = client.train(Plan(index, data, None, self._kappa, folded))
            trained()
        self._kappa = _kappa(answers) if self._kappa is None else self._kappa
        contributions = [Contribution(n, self._weights[n], c.delta(index)) for n, c in self._clients.items()]
        aggregate = self._aggregator.aggregate(self.adapter, contributions, self.shared.model.scaling)
        self.adapter = aggregate.adapter
        if self._folding:
            self._folding.add(aggregate.folded, self._clients)
        whole = math.fsum(self._weights[name] * answer.curve[0][1] for name, answer in answers.items())
        return _PilotRound(answers, aggregate.covariance_energy, max(whole, ENERGY_FLOOR))

    def loss(self) -> float:
        """Of the global adapter on the texts kept apart, nats."""
        if self._folding:
            self.shared.model.set_folded(self._folding.folded)
        return self.shared.loss(self.adapter)


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
