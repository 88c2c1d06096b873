"""A run's records as CSV or Parquet, one file per table, columns named as in the records; its adapter for peft."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from base_station.store.files import storage_errors
from base_station.store.run_store import RunStore
from base_station.store.schema import TABLES, Column, RecordTable
from protocol.adapters import adapter_from_bytes
from protocol.errors import RunError
from protocol.files import write_atomically

ExportFormat = Literal["csv", "parquet", "peft"]


def export_csv(store: RunStore, directory: Path) -> list[Path]:
    """Write one CSV file per table (``rounds.csv``, ``bursts.csv``, ...) and ``facts.csv``.

    Lists and mappings are JSON text, sample data base64. Raises StorageError.
    """
    _make(directory)
    written = []
    with store.snapshot():
        for table in TABLES:
            rows = ([_csv_cell(getattr(record, c.name)) for c in table.columns] for record in store.records(table))
            written.append(write_csv(directory / f"{table.name}.csv", [c.name for c in table.columns], rows))
        facts = ((name, msgspec.json.encode(value).decode()) for name, value in sorted(store.facts().items()))
        written.append(write_csv(directory / "facts.csv", ["name", "value"], facts))
    return written


def export_parquet(store: RunStore, directory: Path) -> list[Path]:
    """Write one Parquet file per table, no facts; lists are lists, mappings JSON text. Raises StorageError."""
    _make(directory)
    with store.snapshot():
        return [_write_parquet(store, table, directory / f"{table.name}.parquet") for table in TABLES]


def export_peft(store: RunStore, directory: Path) -> list[Path]:
    """Write the global adapter after the last committed round as a peft checkpoint (``learning.peft_checkpoint``).

    Raises RunError before the first round, and for ``exact-fold``, which changes the frozen weights too; StorageError.
    """
    from learning.peft_checkpoint import write_peft_checkpoint

    committed = store.last_committed()
    if committed is None:
        raise RunError(f"{store.directory}: no round is committed, so there is no adapter yet")
    if store.experiment.training.aggregation == "exact-fold":
        raise RunError(f'{store.directory}: training.aggregation = "exact-fold" changed the frozen weights too')
    _make(directory)
    return write_peft_checkpoint(adapter_from_bytes(committed[2])[0], store.experiment.model, directory)


EXPORTERS: dict[ExportFormat, Callable[[RunStore, Path], list[Path]]] = {
    "csv": export_csv,
    "parquet": export_parquet,
    "peft": export_peft,
}


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    """Write one CSV file (comma, LF, UTF-8) whole or not at all; missing values are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
    return path


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return value


def _write_parquet(store: RunStore, table: RecordTable[Any], path: Path) -> Path:
    # pyarrow takes a third of a second to import; listing runs must not pay for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_(), bytes: pa.binary()}

    def arrow_type(column: Column) -> Any:
        if column.item is None:
            return plain[column.base]
        return pa.list_(plain[column.item]) if column.base is list else pa.string()

    columns: dict[str, list[Any]] = {column.name: [] for column in table.columns}
    for record in store.records(table):
        for name, values in columns.items():
            value = getattr(record, name)
            values.append(msgspec.json.encode(value).decode() if isinstance(value, dict) else value)
    schema = pa.schema([(column.name, arrow_type(column)) for column in table.columns])
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer)
    write_atomically(path, buffer.getvalue())
    return path


def _make(directory: Path) -> None:
    with storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
