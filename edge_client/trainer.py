"""Local training as the round wants it: one loaded model shared by all identities of a process."""

from __future__ import annotations

from functools import cached_property

from edge_client.round import Trained
from edge_client.training import train_local
from learning.data import load_dataset
from learning.device import DeviceProfile, compute_s
from learning.model import AdaptedModel, build_model, configure_torch
from learning.partition import Partition, partition_samples
from learning.samples import Dataset
from protocol.adapters import Adapter
from protocol.configuration import Experiment
from protocol.folding import Folded


class SharedModel:
    """Model, data and partition of an experiment, loaded once per process when first needed."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    @cached_property
    def dataset(self) -> Dataset:
        """The experiment's samples."""
        return load_dataset(self.experiment)

    @cached_property
    def partition(self) -> Partition:
        """Which samples are whose."""
        return partition_samples(self.experiment, self.dataset.train)

    @cached_property
    def model(self) -> AdaptedModel:
        """The transformer with its LoRA."""
        configure_torch(self.experiment.training.threads)
        return build_model(self.experiment, len(self.dataset.class_names))


class LocalTrainer:
    """Trains one client; its samples are made into inputs once."""

    def __init__(self, name: str, experiment: Experiment, device: DeviceProfile, shared: SharedModel) -> None:
        own = shared.dataset.train.take(shared.partition.indices[name])
        self._name = name
        self._experiment = experiment
        self._model = shared.model
        self._labels = own.labels
        self._inputs = shared.model.task.encode(own.contents, shared.model.directory, experiment.model)
        self.samples = len(own)
        self.scaling = shared.model.scaling
        training = experiment.training
        self._compute_s = compute_s(
            device, training.local_steps, training.batch_size, experiment.model.sample_tokens,
            experiment.member(name).compute_scale,
        )  # fmt: skip

    def set_folded(self, folded: Folded) -> None:
        """Train on top of these changes of the frozen weights from now on."""
        self._model.set_folded(folded)

    def train(self, adapter: Adapter, round_index: int) -> Trained:
        """The round's local steps from ``adapter``."""
        experiment = self._experiment
        update = train_local(
            self._model, adapter, self._inputs, self._labels, experiment.training,
            experiment.soft.orthogonality_weight, round_index, self._name, experiment.experiment.seed,
        )  # fmt: skip
        return Trained(update.trained, update.gradient, update.loss, self._compute_s)
