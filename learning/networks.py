"""The bare networks: a Hugging Face model and what turns its output into logits, loaded for a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from protocol.configuration import ModelTable
from protocol.errors import ConfigurationError, DataError
from protocol.schemes import TaskName

_INPUTS: dict[TaskName, tuple[str, ...]] = {
    "text-classification": ("input_ids", "attention_mask"),
    "image-classification": ("pixel_values",),
    "language-modelling": ("input_ids", "attention_mask"),
}
"""What a batch holds, in Hugging Face's names."""


class MeanPoolingClassifier(nn.Module):  # type: ignore[misc]
    """An encoder, the mean of its last states over the text's tokens, one linear layer."""

    def __init__(self, encoder: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(width, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits (texts, classes) of token numbers and mask (texts, tokens)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
        logits: torch.Tensor = self.classifier(pooled)
        return logits


class NativeNetwork(nn.Module):  # type: ignore[misc]
    """A Hugging Face model with its own head; ``inputs`` names what it is called with."""

    def __init__(self, network: nn.Module, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self._inputs = inputs

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Logits (samples, classes), or (texts, tokens, vocabulary)."""
        logits: torch.Tensor = self.network(**dict(zip(self._inputs, batch, strict=True))).logits
        return logits


def load_network(directory: Path, table: ModelTable, classes: int) -> tuple[nn.Module, set[str]]:
    """The bare network for the table's task, and the names of the tensors its checkpoint does not hold.

    Raises DataError if the directory cannot be loaded, ConfigurationError if the model takes no such images.
    """
    options: dict[str, Any] = {"local_files_only": True, "dtype": torch.float32}
    if table.precision == "bfloat16":
        # Torch's fused attention is three times slower backwards in bfloat16 on processors (torch 2.13).
        options["attn_implementation"] = "eager"
    try:
        network, missing = _load(directory, table, classes, options)
    except Exception as error:  # transformers and safetensors raise a dozen unrelated types here
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"model: {directory} cannot be loaded: {reason}") from error
    if table.learns == "image-classification":
        _insist_on_size(network, table.image_size_px)
    return network, missing


def _load(directory: Path, table: ModelTable, classes: int, options: dict[str, Any]) -> tuple[nn.Module, set[str]]:
    import transformers

    if table.pooling == "mean":
        encoder = transformers.AutoModel.from_pretrained(str(directory), **options)
        width = int(encoder.config.hidden_size)
        return MeanPoolingClassifier(encoder, width, classes), {"classifier.weight", "classifier.bias"}
    kinds: dict[TaskName, Any] = {
        "text-classification": transformers.AutoModelForSequenceClassification,
        "image-classification": transformers.AutoModelForImageClassification,
        "language-modelling": transformers.AutoModelForCausalLM,
    }
    if table.learns != "language-modelling":
        options = {**options, "num_labels": classes, "ignore_mismatched_sizes": True}
    network, loading = kinds[table.learns].from_pretrained(str(directory), output_loading_info=True, **options)
    if table.learns == "text-classification" and network.config.pad_token_id is None:
        network.config.pad_token_id = network.config.eos_token_id
    absent = {*loading["missing_keys"], *(entry[0] for entry in loading["mismatched_keys"])}
    return NativeNetwork(network, _INPUTS[table.learns]), {f"network.{name}" for name in absent}


def _insist_on_size(network: nn.Module, size_px: int) -> None:
    """Refuse images that the model would cut off or not take."""
    patch_px = getattr(network.network.config, "patch_size", 1)
    if isinstance(patch_px, int) and size_px % patch_px:
        raise ConfigurationError(f"model.image_size_px: {size_px} is no multiple of {patch_px}, the model's patches")
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, size_px, size_px))
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigurationError(f"model.image_size_px: the model takes no images of {size_px} px: {reason}") from error
