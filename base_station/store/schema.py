"""Database tables derived from the records: one column per field, lists and mappings as JSON text."""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from base_station.store.records import BurstRecord, ClientRoundRecord, RoundRecord, SignalRecord, SpectrumRecord

SCHEMA_VERSION = 4
"""Raised whenever a record changes in a way old databases cannot answer."""

R = TypeVar("R", bound=Struct)

_SQL_TYPES: dict[type, str] = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}

FACTS: dict[str, Any] = {
    "initial_accuracy": float | None, "initial_loss": float | None, "dense_payload_bits": int,
    "final_accuracy": float | None, "final_accuracy_interval": list[float | None], "final_loss": float | None,
    "final_macro_f1": float | None, "final_worst_client_accuracy": float | None, "test_texts": int,
    "summary": dict[str, Any], "finished": str,
}  # fmt: skip
"""Types of the facts that are read again; JSON has no NaN, it is null."""


@dataclass(frozen=True)
class Column:
    """One field of a record: ``base`` is its type without ``| None``, ``item`` the type of a list's elements."""

    name: str
    base: type
    optional: bool
    item: type | None

    @property
    def sql(self) -> str:
        """Column definition."""
        return f'"{self.name}" {self._sql_type}{"" if self._may_be_null else " NOT NULL"}'

    @property
    def foreign_sql(self) -> str:
        """Whether a stored value is of another type than ``stored`` gives; SQLite does not mind."""
        types = [self._sql_type.lower()] + ["null"] * self._may_be_null
        return f"typeof({self.name}) NOT IN ({', '.join(map(repr, types))})"

    @property
    def _sql_type(self) -> str:
        return "TEXT" if self.item is not None else _SQL_TYPES[self.base]

    @property
    def _may_be_null(self) -> bool:
        """Reals may: SQLite keeps NaN so."""
        return self.item is None and (self.optional or self.base is float)

    def stored(self, value: Any) -> Any:
        """``value`` as SQLite keeps it; numpy scalars become plain numbers."""
        if value is None:
            return None
        if self.item is None:
            return self.base(value)
        convert: Callable[[Any], Any] = self.item
        plain = {str(k): convert(v) for k, v in value.items()} if self.base is dict else [convert(v) for v in value]
        return msgspec.json.encode(plain).decode()

    def loaded(self, value: Any) -> Any:
        """The inverse of ``stored``; non-finite elements of lists come back as NaN. Raises ValueError."""
        if self.item is not None:
            try:
                plain = _decoder(self.base, self.item).decode(value)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from error
            if self.base is dict:
                return {k: _number(v) for k, v in plain.items()}
            return [_number(v) for v in plain]
        if value is None:
            return None if self.optional else math.nan
        return bool(value) if self.base is bool else value


@functools.cache
def _decoder(base: type, item: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(dict[str, item | None] if base is dict else list[item | None])


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _column(field: msgspec.structs.FieldInfo) -> Column:
    kind = field.type
    optional = False
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        kind, optional = parts[0], True
    origin = typing.get_origin(kind)
    if origin in (list, dict):
        return Column(field.name, origin, optional, typing.get_args(kind)[-1])
    return Column(field.name, kind, optional, None)


class RecordTable(Generic[R]):
    """A table that holds records of one class."""

    def __init__(self, name: str, record: type[R], key: tuple[str, ...]) -> None:
        self.name = name
        self.record = record
        self.key = key
        """Primary key; empty if rows are told apart by their order alone."""
        self.columns = [_column(field) for field in msgspec.structs.fields(record)]

    @property
    def create_sql(self) -> str:
        """``CREATE TABLE`` statement."""
        parts = [column.sql for column in self.columns]
        if self.key:
            parts.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return f"CREATE TABLE {self.name} ({', '.join(parts)})"

    @property
    def insert_sql(self) -> str:
        """``INSERT`` with one placeholder per column."""
        return f"INSERT INTO {self.name} VALUES ({', '.join('?' * len(self.columns))})"

    @property
    def select_sql(self) -> str:
        """``SELECT`` of all columns in field order."""
        return f"SELECT {', '.join(column.name for column in self.columns)} FROM {self.name}"

    @property
    def foreign_sql(self) -> str:
        """``SELECT`` of round and column of a value that is not of its column's type, if there is one."""
        cases = " ".join(f"WHEN {column.foreign_sql} THEN {column.name!r}" for column in self.columns)
        return f"SELECT round_index, CASE {cases} END AS found FROM {self.name} WHERE found NOTNULL LIMIT 1"

    def row(self, record: R) -> tuple[Any, ...]:
        """Values of ``record`` as stored."""
        return tuple(column.stored(getattr(record, column.name)) for column in self.columns)

    def load(self, row: tuple[Any, ...]) -> R:
        """The record of a row. Raises ValueError, with the column, if a list or mapping in it cannot be read."""
        values = {column.name: column.loaded(value) for column, value in zip(self.columns, row, strict=True)}
        return self.record(**values)


ROUNDS = RecordTable("rounds", RoundRecord, ("round_index",))
CLIENT_ROUNDS = RecordTable("client_rounds", ClientRoundRecord, ("round_index", "client"))
BURSTS = RecordTable("bursts", BurstRecord, ())
SIGNALS = RecordTable("signals", SignalRecord, ("round_index", "window_index", "client"))
SPECTRA = RecordTable("spectra", SpectrumRecord, ("round_index", "window_index"))

TABLES: tuple[RecordTable[Any], ...] = (ROUNDS, CLIENT_ROUNDS, BURSTS, SIGNALS, SPECTRA)

OTHER_TABLES = (
    "CREATE TABLE commits (round_index INTEGER PRIMARY KEY, checkpoint TEXT NOT NULL)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE INDEX bursts_by_round ON bursts (round_index)",
)
"""``commits``: digest of the checkpoint a round was committed with. ``facts``: JSON values about the whole run."""
