"""Opening ``run.sqlite``: write-ahead log, schema version, and errors a user can read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from base_station.store.content import content_fault
from base_station.store.schema import OTHER_TABLES, SCHEMA_VERSION, TABLES
from protocol.errors import RunError, StorageError

_APPLICATION_ID = 0x41495254  # "AIRT"
_BUSY_TIMEOUT_S = 30.0
_STORAGE_WORDS = ("full", "disk i/o", "readonly", "unable to open", "locked")


def damaged(path: Path, what: str) -> RunError:
    """The error for a database whose content cannot be what airtune wrote."""
    return RunError(f"{path}: the run's database is damaged: {what}; restore it from a copy, or make the run again")


@contextmanager
def content_errors(path: Path, where: str) -> Iterator[None]:
    """Turn the ValueError of a value that cannot be decoded into a RunError."""
    try:
        yield
    except ValueError as error:
        raise damaged(path, f"{where}: {error}") from error


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn sqlite3 errors on ``path`` into StorageError (the disk) or RunError (the content)."""
    try:
        yield
    except UnicodeDecodeError as error:  # names in the schema
        raise damaged(path, str(error)) from error
    except sqlite3.IntegrityError as error:
        raise RunError(f"{path}: a record is already there: {error}") from error
    except sqlite3.DatabaseError as error:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError) and any(word in text.lower() for word in _STORAGE_WORDS):
            raise StorageError(
                f"{path}: cannot be written or read: {text}; free some space or check the disk"
            ) from error
        raise damaged(path, text) from error


def create_database(path: Path) -> None:
    """Make an empty database with this version's tables."""
    with database_errors(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN")
            for table in TABLES:
                connection.execute(table.create_sql)
            for statement in OTHER_TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()


def open_to_write(path: Path) -> sqlite3.Connection:
    """Connection whose commits are on disk when they return. Raises RunError, StorageError."""
    with database_errors(path):
        connection = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S)
        _check(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise damaged(path, finding)
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Connection that cannot write; sees what is committed, also after its writer was killed.

    In a directory that cannot be written SQLite cannot make its shared-memory file; without a log
    nothing is in flight, and the file alone is the whole truth (``immutable``).
    """
    if not path.is_file():
        raise RunError(f"{path}: not there; is {path.parent} a run directory?")
    log = path.with_name(path.name + "-wal")
    try:
        return _open_read_only(path, "ro")
    except StorageError:
        if log.exists() and log.stat().st_size > 0:
            raise
        return _open_read_only(path, "ro&immutable=1")


def _open_read_only(path: Path, mode: str) -> sqlite3.Connection:
    with database_errors(path):
        connection = sqlite3.connect(_uri(path, mode), uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S)
        _check(connection, path)
    return connection


def _uri(path: Path, mode: str) -> str:
    return f"{path.resolve().as_uri()}?mode={mode}"


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse databases of others, of another version, with other columns than the records have, and damaged ones."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION_ID:
        raise RunError(f"{path}: not a run database of airtune")
    same_columns = all(
        [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")] == [c.name for c in table.columns]
        for table in TABLES
    )
    if version != SCHEMA_VERSION or not same_columns:
        raise RunError(
            f"{path}: written by another version of airtune (schema {version}, this one reads {SCHEMA_VERSION})"
        )
    fault = content_fault(connection)
    if fault is not None:
        raise damaged(path, fault)
