"""The transformer with its LoRA and its head, and the adapter going in and out of it.

Only the adapter (LoRA factors and a classifier's head) is trained; everything else is frozen and, frozen, runs without
its own dropout. The first adapter is drawn from keyed random streams, so that every machine
starts from the same numbers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from learning.assets import model_directory
from learning.networks import NativeNetwork, load_network
from learning.tasks import TASKS, Scores, Task
from protocol.adapters import A_SUFFIX, Adapter, is_factor, is_lora
from protocol.configuration import Experiment, ModelDevice, ModelTable, Precision
from protocol.errors import ConfigurationError, DataError, MissingPartError
from protocol.folding import Folded
from protocol.random_streams import derive_seed, random_stream
from protocol.schemes import Frozen

HEAD_MODULES = ("classifier", "score", "pre_classifier")
"""Names Hugging Face classifiers give to the layers after the encoder."""
HEAD_DEVIATION = 0.02
"""Standard deviation of a new head's weights (the usual one of BERT-like models)."""
_ADAPTER = "default"


class AdaptedModel:
    """A network with LoRA: call ``logits``, read and write the adapter.

    ``task`` knows its batches and its loss. ``parameters`` maps each adapter name to its live tensor.
    """

    def __init__(
        self,
        network: nn.Module,
        scaling: float,
        directory: Path,
        task: Task,
        precision: Precision,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self.task = task
        self._device = device
        self._mixed = precision == "bfloat16"
        self.scaling = scaling
        """s = alpha / r."""
        self.directory = directory
        """Where the tokeniser or the preprocessor's settings are."""
        self._frozen_weights: dict[str, torch.Tensor] = {}
        """Weights of the modules that ``set_folded`` has changed, as they were loaded."""
        self.parameters = {
            _peft_name(name): parameter for name, parameter in network.named_parameters() if parameter.requires_grad
        }

    def logits(self, *batch: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of the task's inputs, float32, on the model's device, wherever the batch is.

        They are (samples, classes), or (texts, tokens, vocabulary).

        With ``precision = "bfloat16"`` matrix products run on bfloat16 copies of their operands (torch's autocast);
        all weights stay float32, or small steps of the adapter and folded changes would be rounded away.
        """
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._mixed):
            result: torch.Tensor = self.network(*self._placed(batch))
        return result.float()

    def loss(self, batch: tuple[torch.Tensor, ...], labels: torch.Tensor) -> torch.Tensor:
        """Loss of the task on a batch, nats (a scalar)."""
        return self.task.loss(self.logits(*batch), self._placed(batch), labels.to(self._device))

    def score(self, batch: tuple[torch.Tensor, ...]) -> Scores:
        """What the task makes of the logits of a batch, one row per sample."""
        return self.task.score(self.logits(*batch), self._placed(batch))

    def get_adapter(self) -> Adapter:
        """Copy of the trained tensors."""
        return {name: p.detach().cpu().numpy().copy() for name, p in self.parameters.items()}

    def set_adapter(self, adapter: Adapter) -> None:
        """Overwrite the trained tensors; DataError if names or shapes are not this model's."""
        if adapter.keys() != self.parameters.keys():
            odd = sorted(adapter.keys() ^ self.parameters.keys())[0]
            raise DataError(f"adapter: the tensor '{odd}' is not in both the adapter and the model")
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if tuple(parameter.shape) != adapter[name].shape:
                    raise DataError(f"adapter: '{name}' is {adapter[name].shape}, the model's {tuple(parameter.shape)}")
                parameter.copy_(torch.from_numpy(adapter[name]))

    def set_folded(self, folded: Folded) -> None:
        """Put these changes on top of the modules' own frozen weights, in place of any set before."""
        with torch.no_grad():
            for name in {**self._frozen_weights, **folded}:
                layer = self.network.get_submodule(name)
                weight = layer.base_layer.weight
                weight.copy_(self._frozen_weights.setdefault(name, weight.detach().clone()))
                if name in folded:
                    change = torch.from_numpy(folded[name]).to(self._device)
                    weight += change.T if layer.fan_in_fan_out else change

    @property
    def gpu(self) -> list[str]:
        """Name of the GPU it is on; empty on a processor."""
        return [torch.cuda.get_device_name(self._device)] if self._device.type == "cuda" else []

    def wait(self) -> None:
        """Return once the device has done all it was given."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def freeze(self, frozen: Frozen) -> None:
        """Keep one LoRA factor fixed, or none; head and the other factor are trained."""
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(not is_factor(name, frozen))

    def _placed(self, batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(tensor.to(self._device) for tensor in batch)


def configure_torch(threads: int) -> None:
    """Set what must be set once per process: threads, no network, quiet libraries."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Given fewer threads than it counts on, oneDNN leaves parts of its products out (torch 2.13, bfloat16).
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    torch.set_num_threads(min(threads, int(limit)) if limit.isdecimal() and int(limit) > 0 else threads)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def build_model(experiment: Experiment, classes: int) -> AdaptedModel:
    """The experiment's model with its initial adapter, everything else frozen.

    Raises DataError if the model cannot be loaded or has no such head, ConfigurationError if
    ``model.lora_targets`` names none of its layers or it takes no images of ``model.image_size_px``, MissingPartError
    if it asks for a GPU that is not there.
    """
    table, seed = experiment.model, experiment.experiment.seed
    device = _torch_device(table.device)
    directory = model_directory(table)
    with torch.random.fork_rng(devices=[]):
        # Frozen layers a checkpoint lacks (an unused pooler, say) come from torch's generator.
        torch.manual_seed(derive_seed(seed, "frozen-layers") % 2**63)
        network, missing = load_network(directory, table, classes)
        adapted = _add_lora(network, table)
    model = AdaptedModel(
        adapted, table.lora_alpha / table.lora_rank, directory, TASKS[table.learns], table.precision, device
    )
    model.set_adapter(_initial_adapter(model.get_adapter(), missing, seed))
    adapted.eval()
    return model


def _torch_device(wanted: ModelDevice) -> torch.device:
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise MissingPartError(
            'model.device: torch finds no GPU on this machine; use "auto" or "cpu", or install a torch made for its GPU'
        )
    return torch.device("cuda" if present and wanted != "cpu" else "cpu")


def _add_lora(network: nn.Module, table: ModelTable) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    owner = network.network if isinstance(network, NativeNetwork) else network
    heads = [name for name in HEAD_MODULES if isinstance(getattr(owner, name, None), nn.Module)]
    if not heads and table.learns != "language-modelling":
        raise DataError(f"model: {table.path} has no classification head (one of: {', '.join(HEAD_MODULES)})")
    config = LoraConfig(
        r=table.lora_rank,
        lora_alpha=table.lora_alpha,
        lora_dropout=table.lora_dropout,
        target_modules=list(table.lora_targets),
        modules_to_save=heads or None,
    )
    try:
        adapted: nn.Module = get_peft_model(network, config)
    except ValueError as error:
        raise ConfigurationError(f"model.lora_targets: {str(error).splitlines()[0]}") from error
    return adapted


def _peft_name(name: str) -> str:
    """A parameter's name as peft saves it: without the name of the adapter."""
    return name.replace(f".modules_to_save.{_ADAPTER}", "").replace(f".{_ADAPTER}.", ".")


def _initial_adapter(current: Adapter, missing: set[str], seed: int) -> Adapter:
    """A uniform as peft draws it, B zero, head tensors the checkpoint lacks drawn anew.

    A's bound is that of Kaiming's rule with slope sqrt(5), 1 / sqrt(k); a head's biases start at zero.
    """
    initial: Adapter = {}
    for name, tensor in current.items():
        stream = random_stream(seed, "initial-adapter", name)
        drawn: NDArray[np.floating[Any]] = np.zeros(tensor.shape)
        if name.endswith(A_SUFFIX):
            drawn = stream.uniform(-1.0, 1.0, tensor.shape) / np.sqrt(tensor.shape[1])
        elif not is_lora(name) and name.removeprefix("base_model.model.") not in missing:
            drawn = tensor
        elif not is_lora(name) and tensor.ndim > 1:
            drawn = HEAD_DEVIATION * stream.standard_normal(tensor.shape)
        initial[name] = drawn.astype(np.float32)
    return initial
