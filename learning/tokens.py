"""Texts as token numbers: made once, padded per batch to its longest text."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from protocol.errors import DataError

WORDS_PER_TOKEN = 2
"""A text is cut after this many words per token before it is tokenised. Every word makes at least one
token (bar stray control characters, hence the factor), so the tokens kept are the same and a long
text costs no more than a short one."""


@dataclass(frozen=True)
class Tokens:
    """Token numbers of texts, ragged: text i is ``values[starts[i]:starts[i + 1]]``."""

    values: NDArray[np.int32]
    starts: NDArray[np.int64]
    pad_token: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, special tokens included."""
        return np.diff(self.starts)

    def take(self, indices: NDArray[np.int64]) -> Tokens:
        """The texts at ``indices``, in that order."""
        pieces = [self.values[self.starts[i] : self.starts[i + 1]] for i in indices]
        values = np.concatenate(pieces) if pieces else self.values[:0]
        return Tokens(values, _starts([len(piece) for piece in pieces]), self.pad_token)

    def batch(self, indices: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token numbers and attention mask, both int64 (len(indices), longest text)."""
        longest = int(self.lengths[indices].max())
        numbers = np.full((len(indices), longest), self.pad_token, dtype=np.int64)
        attended = np.zeros_like(numbers)
        for row, index in enumerate(indices):
            own = self.values[self.starts[index] : self.starts[index + 1]]
            numbers[row, : len(own)] = own
            attended[row, : len(own)] = 1
        return torch.from_numpy(numbers), torch.from_numpy(attended)


def tokenise(directory: Path, texts: Sequence[str], max_tokens: int) -> Tokens:
    """Token numbers of ``texts`` by the tokeniser in ``directory``, at most ``max_tokens`` each.

    Raises DataError if the directory has no usable tokeniser.
    """
    # A thread pool of the tokeniser would compete with the training of the other clients.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokeniser, pad_token = _load(directory)
    head = re.compile(rf"\s*(?:\S+\s*){{0,{WORDS_PER_TOKEN * max_tokens}}}")
    cut = [match.group() if (match := head.match(text)) else text for text in texts]
    if not cut:
        return Tokens(np.zeros(0, np.int32), _starts([]), pad_token)
    rows = tokeniser(cut, truncation=True, max_length=max_tokens, padding=False)["input_ids"]
    values = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
    return Tokens(values, _starts([len(row) for row in rows]), pad_token)


def _load(directory: Path) -> tuple[Any, int]:
    """The directory's tokeniser and the number it pads with."""
    from transformers import AutoTokenizer

    try:
        tokeniser = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    except Exception as error:  # transformers raises a dozen unrelated types here
        raise DataError(f"{directory}: no usable tokeniser: {str(error).strip().splitlines()[0]}") from error
    pad_token = tokeniser.pad_token_id if tokeniser.pad_token_id is not None else tokeniser.eos_token_id
    if pad_token is None:
        raise DataError(f"{directory}: the tokeniser has neither a padding nor an end token")
    return tokeniser, int(pad_token)


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, dtype=np.int64), dtype=np.int64)])
