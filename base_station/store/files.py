"""Errors of a run directory's file system, and making its changes durable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError on ``path`` into a StorageError of one line."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}; free some space or choose another --out"
        ) from error


def check_directory(directory: Path) -> None:
    """Say before long work whether files can be written to ``directory``, made then if it is not there.

    Raises StorageError.
    """
    there = next(path for path in (directory.resolve(), *directory.resolve().parents) if os.path.exists(path))
    if not there.is_dir():
        raise StorageError(f"{there}: is a file, not a directory; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(f"{there}: files cannot be made in it; choose another directory")


def sync_directory(directory: Path) -> None:
    """Make renames and removals in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
