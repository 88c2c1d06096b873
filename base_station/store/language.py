"""What a run of a language model is told by beside its accuracy, which is that of single tokens."""

from __future__ import annotations

import math

from protocol.configuration import Experiment

_LARGEST_EXPONENT = 700.0
"""Of what an exponential is taken: a model that diverged may have a loss beyond."""


def models_language(experiment: Experiment) -> bool:
    """Whether the experiment's task has a perplexity."""
    return experiment.model.learns == "language-modelling"


def perplexity(loss: float) -> float:
    """Of a mean loss per token, nats."""
    return math.exp(min(loss, _LARGEST_EXPONENT))


def known_perplexity(experiment: Experiment, loss: float | None) -> float | None:
    """Perplexity, None for other tasks or where the loss is not known."""
    return None if loss is None or not models_language(experiment) else perplexity(loss)
