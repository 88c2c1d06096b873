"""The base station's own copy of the model: it judges global adapters, and never trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_station.lab import Verdict
from learning.data import Dataset, Texts
from learning.evaluation import accuracy_on_mix, evaluate
from learning.model import build_model, configure_torch
from learning.partition import Partition
from learning.tokens import Tokens, tokenise
from protocol.adapters import Adapter
from protocol.configuration import Experiment
from protocol.folding import Folded


class StationEvaluator:
    """Evaluates on the validation texts each round and on the test texts at the end."""

    def __init__(self, experiment: Experiment, dataset: Dataset, partition: Partition) -> None:
        configure_torch(experiment.experiment.threads)
        self._classes = len(dataset.class_names)
        self._model = build_model(experiment, self._classes)
        self._max_tokens = experiment.model.max_tokens
        self._mix = partition.histogram(dataset.train.labels, self._classes)
        self._validation = dataset.validation.first(experiment.experiment.validation_texts)
        self._validation_tokens = self._tokenise(self._validation)
        self._test = dataset.test.first(experiment.experiment.test_texts)
        self.scaling = self._model.scaling

    def initial_adapter(self) -> Adapter:
        """The adapter every run of this seed starts from."""
        return self._model.get_adapter()

    def set_folded(self, folded: Folded) -> None:
        """Judge with these changes of the frozen weights from now on."""
        self._model.set_folded(folded)

    def validate(self, adapter: Adapter) -> Verdict:
        """Judge on the validation texts."""
        return self._judge(adapter, self._validation_tokens, self._validation.labels)

    def test(self, adapter: Adapter) -> Verdict:
        """Judge on the test texts."""
        return self._judge(adapter, self._tokenise(self._test), self._test.labels)

    def _tokenise(self, texts: Texts) -> Tokens:
        return tokenise(self._model.directory, texts.texts, self._max_tokens)

    def _judge(self, adapter: Adapter, tokens: Tokens, labels: NDArray[np.int64]) -> Verdict:
        self._model.set_adapter(adapter)
        result = evaluate(self._model, tokens, labels, self._classes)
        own = {name: accuracy_on_mix(result, counts) for name, counts in self._mix.items()}
        return Verdict(result.loss, result.accuracy, result.macro_f1, result.interval, own, len(labels))
