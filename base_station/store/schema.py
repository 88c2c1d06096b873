"""Database tables derived from the records: one column per field, lists and mappings as JSON text."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Column:
    """One field of a record: ``base`` is its type without ``| None``, ``item`` the type of a list's elements."""

    name: str
    base: type
    optional: bool
    item: type | None

    @property
    def sql(self) -> str:
        """Column definition. Reals may be NULL: SQLite keeps NaN so."""
        if self.item is not None:
            return f'"{self.name}" TEXT NOT NULL'
        required = "" if self.optional or self.base is float else " NOT NULL"
        return f'"{self.name}" {_SQL_TYPES[self.base]}{required}'

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
        """The inverse of ``stored``; non-finite elements of lists come back as NaN."""
        if self.item is not None:
            plain = msgspec.json.decode(value)
            if self.base is dict:
                return {k: _number(v) for k, v in plain.items()}
            return [_number(v) for v in plain]
        if value is None:
            return None if self.optional else math.nan
        return bool(value) if self.base is bool else value


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

    def row(self, record: R) -> tuple[Any, ...]:
        """Values of ``record`` as stored."""
        return tuple(column.stored(getattr(record, column.name)) for column in self.columns)

    def load(self, row: tuple[Any, ...]) -> R:
        """The record of a row."""
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
