"""Tables of labelled texts in CSV, Parquet or JSON lines, read with Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Raw rows of a table, all columns as text."""

    texts: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str] | None
    sources: Sequence[str] | None = None
    """What each text was taken from, where several are from one: these stay on one side of every split."""

    def take(self, indices: NDArray[np.int64]) -> Rows:
        """The rows at ``indices``, in that order."""
        return Rows(
            [self.texts[i] for i in indices],
            [self.labels[i] for i in indices],
            None if self.groups is None else [self.groups[i] for i in indices],
            None if self.sources is None else [self.sources[i] for i in indices],
        )

    def unlabelled(self, label: str) -> Rows:
        """The same rows, all with one label."""
        return replace(self, labels=[label] * len(self.texts))


def _read_csv(path: Path, columns: Sequence[str]) -> Any:
    import pyarrow.csv

    # Quoted texts may hold line breaks; the delimiter follows the file's suffix.
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, delimiter=delimiter),
        # Left to guess, Arrow would make 7 of a group called 007.
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pyarrow.string())),
    )


def _read_parquet(path: Path, columns: Sequence[str]) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path)


def _read_json_lines(path: Path, columns: Sequence[str]) -> Any:
    import pyarrow.json

    return pyarrow.json.read_json(path)


_READERS: dict[str, Callable[[Path, Sequence[str]], Any]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json_lines,
}


def read_rows(path: Path, text_column: str, label_column: str | None, group_column: str | None) -> Rows:
    """Read the named columns of a table; the suffix of ``path`` tells its format. Without labels all are empty.

    Raises DataError with the file and, where it applies, the column or row that is wrong.
    """
    columns = [column for column in (text_column, label_column, group_column) if column is not None]
    table = _read_table(path, columns)
    for column in columns:
        if column not in table.column_names:
            raise DataError(f"{path}: no column '{column}'; it has: {', '.join(table.column_names)}")
    if table.num_rows == 0:
        raise DataError(f"{path}: the table has no rows")
    values = {column: _as_text(path, column, table.column(column).to_pylist()) for column in columns}
    labels = values[label_column] if label_column is not None else [""] * table.num_rows
    return Rows(values[text_column], labels, None if group_column is None else values[group_column])


def _read_table(path: Path, columns: Sequence[str]) -> Any:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: not a table this reads; use {', '.join(sorted(_READERS))}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        import pyarrow

        return reader(path, columns)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}") from error


def _as_text(path: Path, column: str, values: list[Any]) -> list[str]:
    for row, value in enumerate(values, start=1):
        if value is None or value == "" or isinstance(value, (list, dict, bytes)):
            raise DataError(f"{path}: column '{column}' has no text or number in row {row}")
    return [str(value) for value in values]
