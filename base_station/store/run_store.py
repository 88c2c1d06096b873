"""A run as a directory: created, committed to round by round, resumed, and read at any time.

A round is committed by its checkpoint (atomic rename) and then one SQLite transaction that holds its records
and the checkpoint's digest. Until that transaction is on disk the round has not happened.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from base_station.store.checkpoints import Checkpoints
from base_station.store.database import content_errors, create_database, database_errors, open_to_read, open_to_write
from base_station.store.events import EventLog
from base_station.store.files import storage_errors, sync_directory
from base_station.store.lock import WriterLock
from base_station.store.records import BurstRecord, ClientRoundRecord, RoundRecord, SignalRecord, SpectrumRecord
from base_station.store.schema import BURSTS, CLIENT_ROUNDS, FACTS, ROUNDS, SIGNALS, SPECTRA, RecordTable
from base_station.store.toml_text import toml_text
from protocol.configuration import Experiment
from protocol.errors import RunError
from protocol.experiment_file import experiment_to_dict, load_experiment
from protocol.files import write_atomically
from protocol.steps import reached

DATABASE = "run.sqlite"
CONFIGURATION = "config.toml"
MANIFEST = "manifest.json"
_MANIFEST_KEYS = ("commit", "versions", "device")
"""What every run's has; a base station of a lab adds more."""
_CHECKPOINTS = "checkpoints"
_EVENTS = "tensorboard"
_KEPT_CHECKPOINTS = 2

R = TypeVar("R", bound=Struct)


class RunStore:
    """One run. Made by ``create``, ``resume`` or ``read``; a context manager that closes it."""

    def __init__(self, directory: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.directory = directory
        self._connection = connection
        self._lock = lock
        self._checkpoints = Checkpoints(directory / _CHECKPOINTS)
        self._events: EventLog | None = None

    # ---- opening and closing ------------------------------------------------------------

    @classmethod
    def create(cls, directory: Path, experiment: Experiment, manifest: dict[str, Any]) -> RunStore:
        """Make a new run; it appears under its name whole or not at all.

        ``started`` (UTC) is added to ``manifest``. Raises RunError if ``directory`` exists and is not empty,
        StorageError if it cannot be written.
        """
        directory = directory.resolve()
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise RunError(f"{directory}: already there; resume it with --resume or choose another --out")
        building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
        try:
            with storage_errors(directory):
                (building / _CHECKPOINTS).mkdir(parents=True)
            write_atomically(building / CONFIGURATION, toml_text(experiment_to_dict(experiment)).encode())
            write_atomically(building / MANIFEST, _json({**manifest, "started": _utc_now(), "resumed": []}))
            create_database(building / DATABASE)
            with storage_errors(directory):
                building.rename(directory)
                sync_directory(directory.parent)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        lock = WriterLock(directory)
        return cls(directory, open_to_write(directory / DATABASE), lock)

    @classmethod
    def resume(cls, directory: Path) -> RunStore:
        """Open a run to go on with it: what was not committed is dropped.

        Raises RunError if it is missing, damaged, of another version, or being written by another process.
        """
        directory = _existing(directory)
        lock = WriterLock(directory)
        try:
            store = cls(directory, open_to_write(directory / DATABASE), lock)
            store.last_committed()
            store._checkpoints.keep_only(store._committed_rounds()[-_KEPT_CHECKPOINTS:])
            manifest = store.manifest
            store.update_manifest(resumed=[*manifest.get("resumed", []), _utc_now()])
        except BaseException:
            lock.release()
            raise
        return store

    @classmethod
    def read(cls, directory: Path) -> RunStore:
        """Open a run to look at it, also while it is written or after its writer was killed. Raises RunError."""
        directory = _existing(directory)
        return cls(directory, open_to_read(directory / DATABASE), None)

    def close(self) -> None:
        """Fold the write-ahead log into the database and let the next writer in; safe to call twice."""
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._lock is not None:
            with suppress(sqlite3.Error):  # closing must not hide what went wrong before it
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._lock.release()
        self._connection.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- writing ------------------------------------------------------------------------

    def commit_round(
        self,
        round: RoundRecord,
        clients: Sequence[ClientRoundRecord],
        bursts: Sequence[BurstRecord],
        signals: Sequence[SignalRecord],
        spectra: Sequence[SpectrumRecord],
        state: bytes,
        adapter: bytes,
    ) -> None:
        """Commit one round: checkpoint first, then one transaction; both are on disk on return.

        ``state`` is the base station's state (opaque), ``adapter`` the safetensors file of the global adapter
        after the round. Raises StorageError or RunError; the round is then either whole or not there
        (``last_committed`` tells).
        """
        last = self._committed_rounds()[-1:]
        if last and round.round_index <= last[0]:
            raise RunError(f"{self.directory}: round {round.round_index} is already committed")
        digest = self._checkpoints.write(round.round_index, state, adapter)
        reached("base-station", "checkpointed", round.round_index)
        with self._transaction():
            self._insert(ROUNDS, [round])
            self._insert(CLIENT_ROUNDS, clients)
            self._insert(BURSTS, bursts)
            self._insert(SIGNALS, signals)
            self._insert(SPECTRA, spectra)
            self._connection.execute("INSERT INTO commits VALUES (?, ?)", (round.round_index, digest))
        self._checkpoints.keep_only([*last, round.round_index])
        self._log_events(round, clients)

    def set_fact(self, name: str, value: Any) -> None:
        """Keep a JSON value about the whole run (``initial_accuracy``, ``dense_payload_bits``, ...)."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, msgspec.json.encode(value).decode()),
            )

    def update_manifest(self, **values: Any) -> None:
        """Add or replace entries of ``manifest.json``."""
        write_atomically(self.directory / MANIFEST, _json({**self.manifest, **values}))

    def finish(self, summary: dict[str, Any]) -> None:
        """Mark the run as done and keep its closing figures (fact ``summary``)."""
        self.set_fact("summary", summary)
        self.set_fact("finished", _utc_now())

    # ---- reading ------------------------------------------------------------------------

    @property
    def experiment(self) -> Experiment:
        """The resolved experiment of ``config.toml``."""
        return load_experiment(self.directory / CONFIGURATION)

    @property
    def manifest(self) -> dict[str, Any]:
        """Content of ``manifest.json``. Raises RunError if it cannot be read or is not whole."""
        path = self.directory / MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from error
        missing = next((key for key in _MANIFEST_KEYS if key not in manifest), None)
        if missing is not None:
            raise RunError(f"{path}: is damaged: it has no '{missing}'; restore it from a copy, or make the run again")
        return manifest

    def last_committed(self) -> tuple[int, bytes, bytes] | None:
        """Round, state and adapter of the last committed round; None before the first.

        Raises RunError if its checkpoint is missing or damaged.
        """
        rows = self.query("SELECT round_index, checkpoint FROM commits ORDER BY round_index DESC LIMIT 1")
        if not rows:
            return None
        state, adapter = self._checkpoints.read(rows[0][0], rows[0][1])
        return rows[0][0], state, adapter

    def rounds(self) -> Iterator[RoundRecord]:
        """Committed rounds in order."""
        return self.records(ROUNDS)

    def clients(self, round_index: int | None = None) -> Iterator[ClientRoundRecord]:
        """Clients' rounds, in order; of one round if given."""
        return self.records(CLIENT_ROUNDS, round_index)

    def bursts(self, round_index: int | None = None) -> Iterator[BurstRecord]:
        """Bursts in the order they were recorded; of one round if given."""
        return self.records(BURSTS, round_index)

    def signals(self, round_index: int | None = None) -> Iterator[SignalRecord]:
        """What the detected bursts looked like; of one round if given."""
        return self.records(SIGNALS, round_index)

    def spectra(self, round_index: int | None = None) -> Iterator[SpectrumRecord]:
        """Spectra of the windows; of one round if given."""
        return self.records(SPECTRA, round_index)

    def records(self, table: RecordTable[R], round_index: int | None = None) -> Iterator[R]:
        """Records of ``table`` by round, then in the order they were committed. Raises RunError on a damaged one."""
        condition, parameters = ("", ()) if round_index is None else (" WHERE round_index = ?", (round_index,))
        for row in self.query(f"{table.select_sql}{condition} ORDER BY round_index, rowid", parameters):
            with content_errors(self.directory / DATABASE, f"table {table.name}"):
                record = table.load(row)
            yield record

    def fact(self, name: str, default: Any = None) -> Any:
        """A value kept by ``set_fact``. Raises RunError if it is not of the kind that is kept under its name."""
        rows = self.query("SELECT value FROM facts WHERE name = ?", (name,))
        return self._fact_value(name, rows[0][0]) if rows else default

    def facts(self) -> dict[str, Any]:
        """All values kept by ``set_fact``. Raises RunError as ``fact`` does."""
        return {name: self._fact_value(name, value) for name, value in self.query("SELECT name, value FROM facts")}

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a SELECT on ``run.sqlite`` (tables: docs/runs.md)."""
        with database_errors(self.directory / DATABASE):
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside see one state of the run, whatever is committed meanwhile; may be nested."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.OperationalError):  # some errors of the disk have ended it already
                self._connection.execute("ROLLBACK")

    # ---- inside -------------------------------------------------------------------------

    def _fact_value(self, name: str, value: Any) -> Any:
        with content_errors(self.directory / DATABASE, f"fact {name}"):
            return msgspec.json.decode(value, type=FACTS.get(name, Any))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, durable on exit."""
        with database_errors(self.directory / DATABASE):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    def _insert(self, table: RecordTable[R], records: Sequence[R]) -> None:
        self._connection.executemany(table.insert_sql, [table.row(record) for record in records])

    def _committed_rounds(self) -> list[int]:
        return [row[0] for row in self.query("SELECT round_index FROM commits ORDER BY round_index")]

    def _log_events(self, round: RoundRecord, clients: Sequence[ClientRoundRecord]) -> None:
        if self._events is None:
            self._events = EventLog(self.directory / _EVENTS)
            for earlier in self.rounds():
                self._events.add_round(earlier, self.clients(earlier.round_index), time.time())
        else:
            self._events.add_round(round, clients, time.time())


def _existing(directory: Path) -> Path:
    directory = directory.resolve()
    if not (directory / DATABASE).is_file():
        raise RunError(f"{directory}: no run is there (no {DATABASE}); `airtune runs` lists the runs")
    return directory


def _json(values: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n"


def _utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
