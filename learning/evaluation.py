"""Judging the global model, in all and as each client would see it: loss, accuracy, macro-F1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from learning.model import AdaptedModel
    from learning.tasks import Inputs


@dataclass(frozen=True)
class Evaluation:
    """Result over one set of samples; per-class arrays are (classes,), what is counted in them samples or tokens."""

    loss: float
    """Mean cross-entropy, nats."""
    accuracy: float
    macro_f1: float | None
    """Mean F1 over the classes that occur among the samples or the predictions; None for a language model."""
    correct: NDArray[np.int64]
    total: NDArray[np.int64]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), int(self.total.sum()))


def evaluate(model: AdaptedModel, inputs: Inputs, labels: NDArray[np.int64], classes: int) -> Evaluation:
    """Evaluate the model as it stands on all of ``inputs``."""
    # Sorted by length, so that hardly any padding is computed.
    order = np.argsort(inputs.lengths, kind="stable")
    size = model.task.judged_together
    starts = range(0, len(order), size)
    with torch.inference_mode():
        scores = [model.score(inputs.batch(order[start : start + size])) for start in starts]
    sorted_back = np.empty(len(order), dtype=np.int64)
    sorted_back[order] = np.arange(len(order))
    return model.task.summarise(np.concatenate(scores)[sorted_back], labels, classes)


def summarise(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Evaluation:
    """Evaluation of logits (texts, classes) against labels (texts,)."""
    scores = logits.astype(np.float64)
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = float(np.mean(log_sum - shifted[np.arange(len(labels)), labels]))
    predicted = scores.argmax(axis=1)
    total = np.bincount(labels, minlength=classes)
    correct = np.bincount(labels[predicted == labels], minlength=classes)
    claimed = np.bincount(predicted, minlength=classes)
    occurring = total + claimed > 0
    f1 = 2.0 * correct[occurring] / (total + claimed)[occurring]
    return Evaluation(loss, float(correct.sum() / len(labels)), float(f1.mean()), correct, total)


def summarise_tokens(scores: NDArray[np.float32]) -> Evaluation:
    """Evaluation of a language model, all tokens of one class.

    ``scores`` (texts, 3) are each text's summed loss, tokens guessed right and tokens predicted.
    """
    loss, right, predicted = map(float, scores.astype(np.float64).sum(axis=0))
    tokens = max(1.0, predicted)
    return Evaluation(loss / tokens, right / tokens, None, np.array([int(right)]), np.array([int(predicted)]))


def accuracy_on_mix(evaluation: Evaluation, histogram: NDArray[np.int64]) -> float:
    """Accuracy a client with the label counts ``histogram`` (classes,) would see.

    Per-class accuracies weighted by the client's own mix; classes nobody evaluated are left out.
    """
    known = evaluation.total > 0
    weights = histogram[known].astype(np.float64)
    if weights.sum() == 0.0:
        return evaluation.accuracy
    return float(np.average(evaluation.correct[known] / evaluation.total[known], weights=weights))


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion (textbook); z = 1.96 gives 95 %. Without trials anything is possible."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    spread = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    scale = 1.0 + z * z / trials
    centre = share + z * z / (2.0 * trials)
    # At the ends the formula gives exactly 0 and 1, which rounding may miss.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high
