"""One writer per run: an advisory lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from base_station.store.files import storage_errors
from protocol.errors import RunError

_NAME = "writer.lock"
_PATIENCE_S = 1.0
"""A reader that asks ``is_being_written`` holds the lock for an instant; a writer waits that out."""


class WriterLock:
    """Held from construction to ``release``. Raises RunError if another process writes the run."""

    def __init__(self, directory: Path) -> None:
        with storage_errors(directory / _NAME):
            self._descriptor = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        give_up = time.monotonic() + _PATIENCE_S
        while not _try_lock(self._descriptor, fcntl.LOCK_EX):
            if time.monotonic() > give_up:
                os.close(self._descriptor)
                raise RunError(f"{directory}: another process is writing this run; wait for it or stop it first")
            time.sleep(0.02)

    def release(self) -> None:
        """Let the next writer in; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_being_written(directory: Path) -> bool:
    """Whether a live process writes the run."""
    try:
        descriptor = os.open(directory / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
