"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from protocol.errors import StorageError


def write_atomically(path: Path, *parts: bytes) -> None:
    """Write ``parts``, one after the other, to ``path`` by a temporary file, fsync and rename.

    Raises StorageError, with the file and the cause; nothing of the new content is left then.
    """
    path = path.resolve()  # through links, so that a link stays one
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe must not be replaced by a file
            path.write_bytes(b"".join(parts))
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        hint = "; free some space and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        raise StorageError(f"{path}: cannot be written: {error.strerror}{hint}") from error
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
