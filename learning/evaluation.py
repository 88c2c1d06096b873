"""Loss, accuracy and macro-F1 of the global model, in all and as each client would see it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from learning.model import AdaptedModel
from learning.tokens import Tokens

BATCH_TEXTS = 32
"""Texts of one evaluation batch; sorted by length, so hardly any padding is computed."""


@dataclass(frozen=True)
class Evaluation:
    """Result over one set of texts; per-class arrays are (classes,)."""

    loss: float
    """Mean cross-entropy, nats."""
    accuracy: float
    macro_f1: float
    """Mean F1 over the classes that occur among the texts or the predictions."""
    correct: NDArray[np.int64]
    total: NDArray[np.int64]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), int(self.total.sum()))


def evaluate(model: AdaptedModel, tokens: Tokens, labels: NDArray[np.int64], classes: int) -> Evaluation:
    """Evaluate the model as it stands on all of ``tokens``."""
    order = np.argsort(tokens.lengths, kind="stable")
    logits = np.empty((len(tokens), classes), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), BATCH_TEXTS):
            batch = order[start : start + BATCH_TEXTS]
            logits[batch] = model.logits(*tokens.batch(batch)).numpy()
    return summarise(logits, labels, classes)


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
    """Wilson's score interval of a proportion (textbook); z = 1.96 gives 95 %."""
    share = successes / trials
    spread = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    scale = 1.0 + z * z / trials
    centre = share + z * z / (2.0 * trials)
    # At the ends the formula gives exactly 0 and 1, which rounding may miss.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high
