"""What a client remembers between rounds: the update it wanted to make, and the file it sent of it.

The residual is never stored as such. It follows from the update of the last round the base station
committed of this client and from what arrived of it, both named by the base station in the next plan
(docs/design.md, section 2). So a client killed at any moment comes back with exactly the residual it should have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protocol.adapters import Adapter, adapter_from_bytes, adapter_to_bytes
from protocol.files import write_atomically


@dataclass(frozen=True)
class RememberedRound:
    """A round's start and wish: ``base`` global adapter, ``delta`` trained - global + residual, ``file`` sent."""

    base: Adapter
    delta: Adapter
    file: bytes | None


class RoundMemory:
    """Rounds of one client, on disk under ``directory``; each file appears whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def remember(self, round_index: int, base: Adapter, delta: Adapter) -> None:
        """Keep a round's base and delta; an update file of an earlier try at this round is dropped."""
        self._path(round_index, "update").unlink(missing_ok=True)
        write_atomically(self._path(round_index, "base"), adapter_to_bytes(base))
        write_atomically(self._path(round_index, "delta"), adapter_to_bytes(delta))

    def remember_file(self, round_index: int, file: bytes) -> None:
        """Keep the encoded update before any of it goes on the air."""
        write_atomically(self._path(round_index, "update"), file)

    def recall(self, round_index: int) -> RememberedRound | None:
        """The remembered round, or None if this client has no (whole) memory of it."""
        base, delta, update = (self._path(round_index, kind) for kind in ("base", "delta", "update"))
        if not (base.exists() and delta.exists()):
            return None
        return RememberedRound(
            base=adapter_from_bytes(base.read_bytes(), str(base))[0],
            delta=adapter_from_bytes(delta.read_bytes(), str(delta))[0],
            file=update.read_bytes() if update.exists() else None,
        )

    def forget_before(self, round_index: int) -> None:
        """Drop rounds older than ``round_index``: the base station will not ask for them again."""
        for path in self._directory.glob("round-*.*"):
            if int(path.name[6:].split(".")[0]) < round_index:
                path.unlink(missing_ok=True)

    def _path(self, round_index: int, kind: str) -> Path:
        return self._directory / f"round-{round_index:05d}.{kind}"
