"""Local training: a few AdamW steps from the global adapter on the client's own samples.

Everything random (which samples, dropout) is keyed by seed, round and client, and no optimiser
state crosses rounds, so a round can be replayed bit for bit with the same number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge_client.orthogonality import orthogonality_term
from learning.model import AdaptedModel
from learning.tasks import Inputs
from protocol.adapters import A_SUFFIX, Adapter, is_lora
from protocol.configuration import TrainingTable
from protocol.random_streams import derive_seed, random_stream


@dataclass(frozen=True)
class LocalUpdate:
    """Outcome of one local training."""

    trained: Adapter
    gradient: Adapter
    """Mean gradient of the loss over the steps, one value for each of the adapter's; 0 in a frozen factor."""
    loss: float
    """Mean task loss over the steps (cross-entropy before each step), nats."""
    steps: int
    wall_s: float


def train_local(
    model: AdaptedModel,
    adapter: Adapter,
    inputs: Inputs,
    labels: NDArray[np.int64],
    training: TrainingTable,
    orthogonality_weight: float,
    round_index: int,
    client: str,
    seed: int,
) -> LocalUpdate:
    """Train ``model`` from ``adapter`` on a client's samples; ``inputs`` and ``labels`` are its own.

    The loss is the task's plus ``orthogonality_weight`` times the orthogonality term over the trained factors;
    the aggregation and the round say which these are.
    """
    started = time.perf_counter()
    model.set_adapter(adapter)
    model.freeze(training.frozen(round_index))
    step = _Step(model, training, orthogonality_weight)
    batches = _batches(len(inputs), training, random_stream(seed, "batches", round_index, client))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "dropout", round_index, client) % 2**63)
        _set_lora_dropout(model, active=True)
        losses = [step.take(inputs.batch(batch), torch.from_numpy(labels[batch])) for batch in batches]
        _set_lora_dropout(model, active=False)
    wall_s = time.perf_counter() - started
    return LocalUpdate(model.get_adapter(), step.mean_gradient(), float(np.mean(losses)), len(losses), wall_s)


class _Step:
    """One AdamW step on the task loss and the weighted orthogonality term."""

    def __init__(self, model: AdaptedModel, training: TrainingTable, orthogonality_weight: float) -> None:
        self._model = model
        self._weight = orthogonality_weight
        self._factors = _trained_factors(model) if orthogonality_weight > 0.0 else []
        trained = [parameter for parameter in model.parameters.values() if parameter.requires_grad]
        self._optimiser = torch.optim.AdamW(trained, lr=training.learning_rate, weight_decay=training.weight_decay)
        self._steps = 0
        self._gradients = {name: torch.zeros_like(parameter) for name, parameter in model.parameters.items()}

    def take(self, batch: tuple[torch.Tensor, ...], target: torch.Tensor) -> float:
        """Task loss before the step, nats."""
        task = self._model.loss(batch, target)
        loss = task + self._weight * orthogonality_term(self._factors) if self._factors else task
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        self._steps += 1
        for name, parameter in self._model.parameters.items():
            if parameter.grad is not None:
                self._gradients[name] += parameter.grad
        return float(task.item())

    def mean_gradient(self) -> Adapter:
        """Of the steps taken."""
        return {name: (total / self._steps).cpu().numpy() for name, total in self._gradients.items()}


def _batches(count: int, training: TrainingTable, stream: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """``local_steps`` batches without repetition until the samples run out, then from a new order."""
    size = min(training.batch_size, count)
    order = stream.permutation(count)
    for _ in range(training.local_steps):
        if len(order) < size:
            order = stream.permutation(count)
        yield order[:size]
        order = order[size:]


def _trained_factors(model: AdaptedModel) -> list[torch.Tensor]:
    """The LoRA factors that are trained, each with its rank components as rows (r, n)."""
    return [
        parameter if name.endswith(A_SUFFIX) else parameter.T
        for name, parameter in model.parameters.items()
        if is_lora(name) and parameter.requires_grad
    ]


def _set_lora_dropout(model: AdaptedModel, active: bool) -> None:
    """Switch LoRA's own dropout; the frozen layers stay without theirs."""
    for name, module in model.network.named_modules():
        if "lora_dropout" in name:
            module.train(active)
