"""The samples of an experiment: the shipped data sets and tables of one's own, split into train, validation and test.

The split is a function of the experiment alone, so the base station and every client compute the
same one. Validation samples are taken out of the training samples before they are dealt to clients and
are used by the base station only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learning.assets import ARCHIVES, TABLES, locate, locate_archive
from learning.images import FASHION_CLASSES, read_fashion_mnist
from learning.samples import Dataset, Samples
from learning.tables import Rows, read_rows
from learning.vader import DOMAINS, read_vader
from protocol.configuration import DataTable, Experiment
from protocol.errors import DataError
from protocol.random_streams import random_stream
from protocol.schemes import IMAGE_DATA

HELD_OUT_TEST_FRACTION = 0.2
"""Share of the texts that become test texts where the data have no test part of their own (ours)."""
UNLABELLED = "text"
"""The one class of texts that a language model learns from."""


def load_dataset(experiment: Experiment) -> Dataset:
    """Read and split the experiment's data.

    Raises DataError for an unknown source or an unusable table, MissingPartError if the package of
    a shipped data set is not installed.
    """
    seed, table = experiment.experiment.seed, experiment.data
    if table.source in IMAGE_DATA:
        class_names, pool, test = FASHION_CLASSES, *read_fashion_mnist(table.path)
    else:
        class_names, pool, test = _texts(table, seed, labelled=experiment.model.learns != "language-modelling")
    train, validation = _split(pool, table.validation_fraction, seed, "validation")
    order = random_stream(seed, "test-order").permutation(len(test))
    return Dataset(class_names, train, validation, test.take(order))


def _texts(table: DataTable, seed: int, labelled: bool) -> tuple[tuple[str, ...], Samples, Samples]:
    """Class names, and texts for training and for the test."""
    train_rows, test_rows = _read(table, seed, labelled)
    class_names = _class_names(train_rows.labels)
    if labelled and len(class_names) < 2:
        raise DataError(f"data: {_origin(table)} holds one class only ('{class_names[0]}')")
    pool = _numbered(train_rows, class_names, _origin(table))
    return class_names, pool, _numbered(test_rows, class_names, table.test_path or _origin(table))


def _origin(table: DataTable) -> str:
    return table.path or table.source


def _read(table: DataTable, seed: int, labelled: bool) -> tuple[Rows, Rows]:
    if table.source == "table":
        train, test = _read_own(table, seed, table.label_column if labelled else None)
    else:
        train, test = _read_known(table, seed)
    return (train, test) if labelled else (train.unlabelled(UNLABELLED), test.unlabelled(UNLABELLED))


def _read_known(table: DataTable, seed: int) -> tuple[Rows, Rows]:
    if table.source in ARCHIVES:
        domains = tuple(DOMAINS) if table.source == "vader-domains" else ("tweets",)
        return _hold_out_test(read_vader(locate_archive(ARCHIVES[table.source]), domains), table, seed)
    if table.source not in TABLES:
        known = ", ".join([*TABLES, *ARCHIVES, *IMAGE_DATA, "table"])
        raise DataError(f"data.source: unknown data '{table.source}'; known: {known}")
    train, test = TABLES[table.source]
    return _read_shipped(locate(train)), _read_shipped(locate(test))


def _read_own(table: DataTable, seed: int, label_column: str | None) -> tuple[Rows, Rows]:
    columns = (table.text_column, label_column)
    rows = read_rows(Path(table.path or ""), *columns, table.group_column)
    if table.test_path is not None:
        return rows, read_rows(Path(table.test_path), *columns, None)
    return _hold_out_test(rows, table, seed)


def _hold_out_test(rows: Rows, table: DataTable, seed: int) -> tuple[Rows, Rows]:
    kept, taken = _divide(len(rows.texts), rows.sources, HELD_OUT_TEST_FRACTION, random_stream(seed, "test-split"))
    if len(taken) == 0:
        raise DataError(f"data.path: {table.path} has only {len(rows.texts)} rows: too few to hold out a test set")
    return rows.take(kept), rows.take(np.sort(taken))


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


def _numbered(rows: Rows, class_names: tuple[str, ...], origin: str) -> Samples:
    number = {name: index for index, name in enumerate(class_names)}
    strange = sorted(set(rows.labels) - set(number))
    if strange:
        raise DataError(f"data: {origin} has the label '{strange[0]}', which no training text has")
    labels = np.array([number[label] for label in rows.labels], dtype=np.int64)
    groups, sources = (None if column is None else tuple(column) for column in (rows.groups, rows.sources))
    return Samples(tuple(rows.texts), labels, groups, sources)


def _split(pool: Samples, fraction: float, seed: int, purpose: str) -> tuple[Samples, Samples]:
    """Take ``fraction`` out of ``pool``; what stays keeps its order, what is taken is shuffled."""
    kept, taken = _divide(len(pool), pool.sources, fraction, random_stream(seed, purpose))
    if len(taken) == 0:
        raise DataError(f"data: {len(pool)} training samples are too few for a validation_fraction of {fraction}")
    return pool.take(kept), pool.take(taken)


def _divide(
    count: int, sources: Sequence[str] | None, fraction: float, stream: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices that are kept, ascending, and that are taken, in random order.

    Samples of one source are never parted: sources are taken in random order as long as ``fraction`` is not exceeded.
    """
    order, size = stream.permutation(count), round(fraction * count)
    if sources is None:
        return np.sort(order[size:]), order[:size]
    names, inverse, sizes = np.unique(np.asarray(sources), return_inverse=True, return_counts=True)
    drawn = stream.permutation(len(names))
    chosen = np.zeros(len(names), dtype=bool)
    chosen[drawn[np.cumsum(sizes[drawn]) <= size]] = True
    return np.flatnonzero(~chosen[inverse]), order[chosen[inverse[order]]]
