"""Checkpoint files: the base station's state and adapter after a round.

``magic | round, length of state, length of adapter (u64, little endian) | state | adapter | BLAKE2b-256``.
The digest covers everything before it and is kept in the database with the commit.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection
from pathlib import Path

from base_station.store.files import storage_errors, sync_directory
from protocol.errors import RunError
from protocol.files import write_atomically

_MAGIC = b"airtune-checkpoint-1\n"
_LENGTHS = struct.Struct("<QQQ")
_DIGEST_BYTES = 32


class Checkpoints:
    """The ``checkpoints/`` directory of a run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, round_index: int) -> Path:
        """Where the checkpoint of ``round_index`` lies."""
        return self._directory / f"round-{round_index:07d}.checkpoint"

    def write(self, round_index: int, state: bytes, adapter: bytes) -> str:
        """Put a checkpoint on disk durably; its digest (hex). Raises StorageError, nothing is left then."""
        parts = [_MAGIC, _LENGTHS.pack(round_index, len(state), len(adapter)), state, adapter]
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for part in parts:
            digest.update(part)
        write_atomically(self.path(round_index), *parts, digest.digest())
        return digest.hexdigest()

    def read(self, round_index: int, digest: str) -> tuple[bytes, bytes]:
        """State and adapter of ``round_index``. Raises RunError if the file is missing, damaged or another's."""
        path = self.path(round_index)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RunError(f"{path}: the checkpoint of round {round_index} is missing: {error.strerror}") from error
        body, stored = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        sound = hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() == stored and body.startswith(_MAGIC)
        if not sound or stored.hex() != digest:
            raise RunError(f"{path}: the checkpoint is damaged or of another run; the run cannot be resumed from it")
        start = len(_MAGIC) + _LENGTHS.size
        _, state_length, _ = _LENGTHS.unpack_from(body, len(_MAGIC))
        return body[start : start + state_length], body[start + state_length :]

    def keep_only(self, rounds: Collection[int]) -> None:
        """Remove every other checkpoint and the temporary files of a writer that died."""
        kept = {self.path(round_index) for round_index in rounds}
        with storage_errors(self._directory):
            for path in set(self._directory.iterdir()) - kept:
                path.unlink(missing_ok=True)
            sync_directory(self._directory)
