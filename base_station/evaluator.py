"""The base station's own copy of the model: it judges global adapters, and never trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.lab import Verdict
from learning.evaluation import accuracy_on_mix, evaluate
from learning.model import build_model, configure_torch
from learning.partition import Partition
from learning.samples import Dataset, Samples
from learning.tasks import Inputs
from protocol.adapters import Adapter
from protocol.configuration import Experiment
from protocol.folding import Folded


class StationEvaluator:
    """Evaluates on the validation samples each round and on the test samples at the end."""

    def __init__(self, experiment: Experiment, dataset: Dataset, partition: Partition) -> None:
        configure_torch(experiment.experiment.threads)
        self._classes = len(dataset.class_names)
        self._model = build_model(experiment, self._classes)
        self._table = experiment.model
        self._mix = partition.histogram(dataset.train.labels, self._classes)
        self._validation = dataset.validation.first(experiment.experiment.validation_texts)
        self._validation_inputs = self._encode(self._validation)
        self._test = dataset.test.first(experiment.experiment.test_texts)
        self.scaling = self._model.scaling

    def initial_adapter(self) -> Adapter:
        """The adapter every run of this seed starts from."""
        return self._model.get_adapter()

    def set_folded(self, folded: Folded) -> None:
        """Judge with these changes of the frozen weights from now on."""
        self._model.set_folded(folded)

    def validate(self, adapter: Adapter) -> Verdict:
        """Judge on the validation samples."""
        return self._judge(adapter, self._validation_inputs, self._validation.labels)

    def test(self, adapter: Adapter) -> Verdict:
        """Judge on the test samples."""
        return self._judge(adapter, self._encode(self._test), self._test.labels)

    def _encode(self, samples: Samples) -> Inputs:
        return self._model.task.encode(samples.contents, self._model.directory, self._table)

    def _judge(self, adapter: Adapter, inputs: Inputs, labels: NDArray[np.int64]) -> Verdict:
        self._model.set_adapter(adapter)
        result = evaluate(self._model, inputs, labels, self._classes)
        own = {name: accuracy_on_mix(result, counts) for name, counts in self._mix.items()}
        return Verdict(result.loss, result.accuracy, result.macro_f1, result.interval, own, len(labels))
