"""Labelled texts: the shipped data sets and tables of one's own, split into train, validation and test.

The split is a function of the experiment alone, so the base station and every client compute the
same one. Validation texts are taken out of the training texts before they are dealt to clients and
are used by the base station only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learning.assets import TABLES, locate
from learning.tables import Rows, read_rows
from protocol.configuration import DataTable, Experiment
from protocol.errors import DataError
from protocol.random_streams import random_stream

HELD_OUT_TEST_FRACTION = 0.2
"""Share of a table's rows that become test texts when the experiment names no test table (ours)."""


@dataclass(frozen=True)
class Texts:
    """Texts with labels; ``groups`` names the natural owner of each text where the data has one."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: NDArray[np.int64]) -> Texts:
        """The texts at ``indices``, in that order."""
        groups = None if self.groups is None else tuple(self.groups[i] for i in indices)
        return Texts(tuple(self.texts[i] for i in indices), self.labels[indices], groups)

    def first(self, count: int) -> Texts:
        """At most ``count`` texts from the start (splits are in random order, so any prefix is fair)."""
        return self.take(np.arange(min(count, len(self)), dtype=np.int64))


@dataclass(frozen=True)
class Dataset:
    """The three splits of one classification task; labels index ``class_names``."""

    class_names: tuple[str, ...]
    train: Texts
    validation: Texts
    test: Texts


def load_dataset(experiment: Experiment) -> Dataset:
    """Read and split the experiment's data.

    Raises DataError for an unknown source or an unusable table, MissingPartError if the package of
    a shipped data set is not installed.
    """
    seed, table = experiment.experiment.seed, experiment.data
    train_rows, test_rows = _read(table, seed)
    class_names = _class_names(train_rows.labels)
    if len(class_names) < 2:
        raise DataError(f"data: {_origin(table)} holds one class only ('{class_names[0]}')")
    pool = _numbered(train_rows, class_names, _origin(table))
    test = _numbered(test_rows, class_names, table.test_path or _origin(table))
    train, validation = _split(pool, table.validation_fraction, seed, "validation")
    order = random_stream(seed, "test-order").permutation(len(test))
    return Dataset(class_names, train, validation, test.take(order))


def _origin(table: DataTable) -> str:
    return table.path or table.source


def _read(table: DataTable, seed: int) -> tuple[Rows, Rows]:
    if table.source == "table":
        return _read_own(table, seed)
    if table.source not in TABLES:
        raise DataError(f"data.source: unknown data '{table.source}'; known: {', '.join([*TABLES, 'table'])}")
    train, test = TABLES[table.source]
    return _read_shipped(locate(train)), _read_shipped(locate(test))


def _read_own(table: DataTable, seed: int) -> tuple[Rows, Rows]:
    columns = (table.text_column, table.label_column)
    rows = read_rows(Path(table.path or ""), *columns, table.group_column)
    if table.test_path is not None:
        return rows, read_rows(Path(table.test_path), *columns, None)
    order = random_stream(seed, "test-split").permutation(len(rows.texts))
    count = round(HELD_OUT_TEST_FRACTION * len(order))
    if count == 0:
        raise DataError(f"data.path: {table.path} has only {len(order)} rows: too few to hold out a test set")
    return rows.take(np.sort(order[count:])), rows.take(np.sort(order[:count]))


def _read_shipped(path: Path) -> Rows:
    """Rows ``class<TAB>text`` after a header of three lines (the format of Orange tables)."""
    try:
        lines = path.read_text("utf-8").splitlines()[3:]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    pairs = [line.split("\t", 1) for line in lines]
    kept = [(pair[0], pair[1].strip().strip('"')) for pair in pairs if len(pair) == 2 and pair[1].strip()]
    return Rows([text for _, text in kept], [label for label, _ in kept], None)


def _class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Distinct labels, numbers in numerical order and anything else alphabetically."""
    names = set(labels)
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _numbered(rows: Rows, class_names: tuple[str, ...], origin: str) -> Texts:
    number = {name: index for index, name in enumerate(class_names)}
    strange = sorted(set(rows.labels) - set(number))
    if strange:
        raise DataError(f"data: {origin} has the label '{strange[0]}', which no training text has")
    labels = np.array([number[label] for label in rows.labels], dtype=np.int64)
    return Texts(tuple(rows.texts), labels, None if rows.groups is None else tuple(rows.groups))


def _split(pool: Texts, fraction: float, seed: int, purpose: str) -> tuple[Texts, Texts]:
    """Take ``fraction`` out of ``pool``; what stays keeps its order, what is taken is shuffled."""
    order = random_stream(seed, purpose).permutation(len(pool))
    count = round(fraction * len(pool))
    if count == 0:
        raise DataError(f"data: {len(pool)} training texts are too few for a validation_fraction of {fraction}")
    return pool.take(np.sort(order[count:])), pool.take(order[:count])
