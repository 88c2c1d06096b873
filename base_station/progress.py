"""What the base station tells whoever watches the run."""

from __future__ import annotations

from typing import Protocol

from base_station.store.records import ClientRoundRecord, RoundRecord


class Progress(Protocol):
    """A display of a running experiment; the command line has a live one and one of plain lines."""

    def started(self, rounds: int, first_round: int, clients: list[str], accuracy: float) -> None:
        """Clients have joined; round ``first_round`` (from 1) comes next; ``accuracy`` is that of the one before it."""

    def stage(self, round_index: int, stage: str) -> None:
        """The base station entered a stage of the round (train, sounding, allocate, uplink, evaluate)."""

    def client(self, name: str, stage: str, snr_db: float | None = None) -> None:
        """A client's stage, or its link quality, changed."""

    def round_done(self, record: RoundRecord, clients: list[ClientRoundRecord]) -> None:
        """A round was committed."""

    def warn(self, text: str) -> None:
        """Something a user should know (a client died, a client was refused)."""

    def finished(self, text: str) -> None:
        """The run is over; ``text`` are the closing lines."""
