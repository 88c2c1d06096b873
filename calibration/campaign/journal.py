"""The journal of a campaign: every finished sounding, on disk before the next one begins.

One JSON document a line. A line counts once its newline is on the disk, so a campaign killed at any moment loses the
sounding it was at and nothing else; a torn last line is cut off when the campaign goes on.
"""

from __future__ import annotations

import fcntl
import os
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from calibration.campaign.plan import CampaignPlan, plan_from_json, plan_to_json
from calibration.campaign.records import Sounding
from protocol.errors import RunError, StorageError
from protocol.files import write_atomically

PLAN_FILE, JOURNAL_FILE, RADIOS_FILE = "campaign.json", "soundings.jsonl", "radios.jsonl"
LONGEST_LINE = 1 << 20
"""Bytes; a sounding takes a few thousand."""
_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Sounding)


class Journal:
    """A campaign's directory, open for writing by this process alone. A context manager."""

    def __init__(self, directory: Path) -> None:
        """Open what ``create`` made. Raises RunError if it is no campaign or another process writes it."""
        self.directory = directory
        self.plan = read_plan(directory)
        self._stream = _open_alone(directory / JOURNAL_FILE)
        self.soundings, whole = _parsed(directory / JOURNAL_FILE)
        self._stream.truncate(whole)

    @staticmethod
    def create(directory: Path, plan: CampaignPlan) -> Journal:
        """A new campaign in ``directory``. Raises RunError if something is there already, StorageError."""
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise RunError(f"{directory}: already there; go on with it: airtune campaign run {directory}")
        write_atomically(directory / PLAN_FILE, plan_to_json(plan))
        return Journal(directory)

    def append(self, sounding: Sounding) -> None:
        """Keep a finished sounding. Raises StorageError; nothing of it is kept then."""
        end = self._stream.seek(0, os.SEEK_END)
        try:
            self._stream.write(_encoder.encode(sounding) + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            os.truncate(self._stream.fileno(), end)
            raise StorageError(f"{self.directory / JOURNAL_FILE}: cannot be written: {error.strerror}") from error
        self.soundings.append(sounding)

    def note_radio(self, receiver: str, identity: dict[str, str]) -> None:
        """Keep which radio a receiver is, each time one is opened; nothing of one simulated. Raises StorageError."""
        if not identity:
            return
        entry = {"receiver": receiver, "opened_at": utc_now(), **identity}
        try:
            with (self.directory / RADIOS_FILE).open("ab") as stream:
                stream.write(_encoder.encode(entry) + b"\n")
        except OSError as error:
            raise StorageError(f"{self.directory / RADIOS_FILE}: cannot be written: {error.strerror}") from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()


def utc_now() -> str:
    """ISO 8601 to a millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_plan(directory: Path) -> CampaignPlan:
    """What the campaign in ``directory`` measures. Raises RunError if there is none, ConfigurationError."""
    path = directory / PLAN_FILE
    try:
        return plan_from_json(path.read_bytes(), str(path))
    except OSError as error:
        raise RunError(f"{directory}: no campaign there ({PLAN_FILE}: {error.strerror})") from error


def read_soundings(directory: Path) -> list[Sounding]:
    """All finished soundings, in the order they were taken; also of a campaign that is running. Raises RunError."""
    path = directory / JOURNAL_FILE
    return _parsed(path)[0] if path.exists() else []


def _open_alone(path: Path) -> BinaryIO:
    try:
        stream = path.open("ab")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise RunError(f"{path.parent}: another process is measuring this campaign") from error
    return stream


def _parsed(path: Path) -> tuple[list[Sounding], int]:
    """Soundings of all whole lines, and how many bytes those are. Raises RunError on a damaged one."""
    soundings: list[Sounding] = []
    whole = 0
    with path.open("rb") as stream:
        while line := stream.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise RunError(f"{path}: line {len(soundings) + 1} is damaged: longer than any sounding")
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            soundings.append(_sounding(line, path, len(soundings) + 1))
    return soundings, whole


def _sounding(line: bytes, path: Path, number: int) -> Sounding:
    try:
        return _decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise RunError(f"{path}: line {number} is damaged: {error}") from error
