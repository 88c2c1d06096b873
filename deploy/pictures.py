"""Where a picture goes that the user named: checked before the work, not after it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import ConfigurationError


def check_picture(option: str, path: Path, formats: Sequence[str]) -> None:
    """Raise ConfigurationError if ``path`` (of ``option``) ends in none of ``formats``, or cannot be written."""
    if path.suffix.lower() not in formats:
        raise ConfigurationError(f"{option} {path}: a picture ends in {' or '.join(formats)}")
    if path.is_dir():
        raise ConfigurationError(f"{option} {path}: is a directory")
    directory = path.absolute().parent
    if not directory.is_dir():
        raise ConfigurationError(f"{option} {path}: the directory {path.parent} does not exist")
    try:
        # Permission bits do not tell of read-only and special file systems.
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: cannot be written: {error.strerror}") from error
