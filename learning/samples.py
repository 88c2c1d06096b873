"""What is learned from: texts or images with their labels, and the three splits of an experiment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Contents = tuple[str, ...] | NDArray[np.uint8]
"""Texts, or images (n, height, width) of 256 shades."""


@dataclass(frozen=True)
class Samples:
    """Texts or images with labels, all of one kind.

    Without labels (a language model learns from the texts themselves) all belong to one class. ``groups`` names the
    natural owner of each sample where the data has one; ``sources`` names what each was taken from where several
    are from one: these stay in one split.
    """

    contents: Contents
    labels: NDArray[np.int64]
    groups: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.contents)

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """The samples at ``indices``, in that order."""
        contents, groups, sources = self.contents, self.groups, self.sources
        return Samples(
            contents[indices] if isinstance(contents, np.ndarray) else tuple(contents[i] for i in indices),
            self.labels[indices],
            None if groups is None else tuple(groups[i] for i in indices),
            None if sources is None else tuple(sources[i] for i in indices),
        )

    def first(self, count: int) -> Samples:
        """At most ``count`` samples from the start (splits are in random order, so any prefix is fair)."""
        return self.take(np.arange(min(count, len(self)), dtype=np.int64))


@dataclass(frozen=True)
class Dataset:
    """The three splits of one task; labels index ``class_names``."""

    class_names: tuple[str, ...]
    train: Samples
    validation: Samples
    test: Samples
