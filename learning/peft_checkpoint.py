"""A global adapter as an ordinary peft checkpoint: ``PeftModel.from_pretrained(base, directory)`` loads it.

With ``model.pooling = "native"`` the base is the Hugging Face classifier of texts or images, and its head is in the
checkpoint; or it is the causal language model, whose head is no part of it. With mean pooling the base is the encoder,
and the linear head lies beside it in ``head.safetensors`` (``weight``, ``bias``): logits are its product with the mean
of the last states over the text's tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from learning.assets import model_directory
from protocol.adapters import Adapter, is_lora
from protocol.configuration import ModelTable
from protocol.files import write_atomically
from protocol.schemes import TaskName

HEAD = "head.safetensors"
_PREFIX = "base_model.model."
_WRAPPERS = {"native": "network.", "mean": "encoder."}
"""What our classifiers put before the names of the Hugging Face model inside them."""


def write_peft_checkpoint(adapter: Adapter, table: ModelTable, directory: Path) -> list[Path]:
    """Write ``adapter_config.json``, ``adapter_model.safetensors`` and, with mean pooling, the head.

    Raises StorageError; DataError, MissingPartError if the base model is not there.
    """
    from peft import LoraConfig

    wrapper = _WRAPPERS[table.pooling]
    bare = {_bare(name, wrapper): np.ascontiguousarray(value) for name, value in adapter.items()}
    inside = {name: value for name, value in bare.items() if table.pooling == "native" or is_lora(name)}
    heads = sorted({name.split(".")[-2] for name in inside if not is_lora(name)})
    config = LoraConfig(
        r=table.lora_rank, lora_alpha=table.lora_alpha, lora_dropout=table.lora_dropout, inference_mode=True,
        target_modules=sorted(table.lora_targets), modules_to_save=heads or None,
        task_type=_task_type(table),
        base_model_name_or_path=str(model_directory(table)),
    )  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(directory))
    written = [directory / "adapter_config.json", directory / "adapter_model.safetensors"]
    write_atomically(written[1], save(inside, metadata={"format": "pt"}))
    if table.pooling == "mean":
        head = {name.rpartition(".")[2]: value for name, value in bare.items() if not is_lora(name)}
        write_atomically(directory / HEAD, save(head, metadata={"format": "pt"}))
        written.append(directory / HEAD)
    return written


def _task_type(table: ModelTable) -> str | None:
    """As peft names it; it has no name for image classification, and needs none."""
    if table.pooling == "mean":
        return "FEATURE_EXTRACTION"
    names: dict[TaskName, str] = {"text-classification": "SEQ_CLS", "language-modelling": "CAUSAL_LM"}
    return names.get(table.learns)


def _bare(name: str, wrapper: str) -> str:
    inner = name.removeprefix(_PREFIX)
    return _PREFIX + inner.removeprefix(wrapper)
