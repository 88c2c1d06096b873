"""What is learned: how samples become batches, what the loss is, and how a model is judged.

Clients, SOFT, aggregation and the base station are the same for every task. A batch is what the model's network is
called with: token numbers and attention mask, or pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from learning.evaluation import Evaluation, summarise, summarise_tokens
from learning.images import pictures
from learning.samples import Contents
from learning.tokens import tokenise
from protocol.configuration import ModelTable
from protocol.schemes import TaskName

Batch = tuple[torch.Tensor, ...]
Indices = NDArray[np.int64]
Scores = NDArray[np.float32]


class Inputs(Protocol):
    """Samples of one split as the model takes them."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> Indices:
        """Work each sample makes, in any unit: batches of alike ones waste least."""

    def batch(self, indices: Indices) -> Batch:
        """The samples at ``indices``, in that order."""


class Task(Protocol):
    """One kind of learning."""

    judged_together: int
    """Samples of an evaluation batch."""

    def encode(self, contents: Contents, directory: Path, table: ModelTable) -> Inputs:
        """Texts or images for the model in ``directory``. Raises DataError."""

    def loss(self, logits: torch.Tensor, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy, nats (a scalar)."""

    def score(self, logits: torch.Tensor, batch: Batch) -> Scores:
        """One row per sample, all that ``summarise`` needs of it."""

    def summarise(self, scores: Scores, labels: Indices, classes: int) -> Evaluation:
        """Judgement over all samples from their rows."""


class TextClassification:
    """One label per text."""

    judged_together = 32

    def encode(self, contents: Contents, directory: Path, table: ModelTable) -> Inputs:
        """Token numbers, at most ``table.max_tokens`` per text."""
        assert isinstance(contents, tuple)
        return tokenise(directory, contents, table.max_tokens)

    def loss(self, logits: torch.Tensor, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """Of logits (samples, classes)."""
        return functional.cross_entropy(logits, labels)

    def score(self, logits: torch.Tensor, batch: Batch) -> Scores:
        """The logits themselves."""
        scores: Scores = logits.cpu().numpy()
        return scores

    def summarise(self, scores: Scores, labels: Indices, classes: int) -> Evaluation:
        """Loss, accuracy and macro-F1."""
        return summarise(scores, labels, classes)


class ImageClassification(TextClassification):
    """One label per image."""

    def encode(self, contents: Contents, directory: Path, table: ModelTable) -> Inputs:
        """Pixels at ``table.image_size_px``, normalised as the model was trained with."""
        assert isinstance(contents, np.ndarray)
        return pictures(contents, directory, table.image_size_px)


class LanguageModelling:
    """Every token of a text from those before it; the texts' labels play no part.

    Logits are (texts, tokens, vocabulary); the first token of a text is not predicted. A mean is over tokens.
    """

    judged_together = 8
    """The logits of a batch are large: 32 tokens of 8 texts times a vocabulary of 49,152 are 50 MB."""

    def encode(self, contents: Contents, directory: Path, table: ModelTable) -> Inputs:
        """Token numbers, at most ``table.max_tokens`` per text."""
        assert isinstance(contents, tuple)
        return tokenise(directory, contents, table.max_tokens)

    def loss(self, logits: torch.Tensor, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """Mean over the batch's predicted tokens; 0 where no text has two tokens."""
        surprise, predicted = self._surprise(logits, batch)
        return surprise.sum() / predicted.sum().clamp(min=1)

    def score(self, logits: torch.Tensor, batch: Batch) -> Scores:
        """Summed loss, tokens guessed right and tokens predicted, of each text."""
        surprise, predicted = self._surprise(logits, batch)
        right = (logits[:, :-1].argmax(dim=-1) == batch[0][:, 1:]) & predicted
        sums = torch.stack([surprise.sum(dim=1), right.sum(dim=1), predicted.sum(dim=1)], dim=1)
        scores: Scores = sums.cpu().numpy()
        return scores

    def summarise(self, scores: Scores, labels: Indices, classes: int) -> Evaluation:
        """Loss and accuracy over tokens."""
        return summarise_tokens(scores)

    def _surprise(self, logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of each token after the first, 0 for padding, and which are no padding (texts, tokens - 1)."""
        numbers, attended = batch
        predicted = attended[:, 1:].bool()
        following = numbers[:, 1:]
        each = functional.cross_entropy(logits[:, :-1].flatten(0, 1), following.flatten(), reduction="none")
        return each.view_as(following) * predicted, predicted


TASKS: dict[TaskName, Task] = {
    "text-classification": TextClassification(),
    "image-classification": ImageClassification(),
    "language-modelling": LanguageModelling(),
}
"""By ``[model] task``."""
