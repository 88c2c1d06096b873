"""How long a transmitter was on the air in the past hour, whichever of a user's programs sent: a file for each."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from protocol.errors import RadioError

PERIOD_S = 3600.0
"""Time over which regulations count duty."""
_LARGEST_FILE = 1 << 20
_Entry = tuple[float, float]


class DutyLedger:
    """Airtime of one transmitter, in a file that outlives the processes that use it."""

    def __init__(self, serial: str, max_duty: float, clock: Callable[[], float] = time.time) -> None:
        """``max_duty``: share of ``PERIOD_S``; at 1 nothing is counted. ``clock``: seconds since the epoch."""
        self._budget_s = max_duty * PERIOD_S
        self._counts = max_duty < 1.0
        self._clock = clock
        self._path = _directory() / f"{''.join(c for c in serial if c.isalnum()) or 'unknown'}.json"

    def spend(self, airtime_s: float) -> None:
        """Count a transmission that is about to begin. Raises RadioError if the limit does not leave so much."""
        if not self._counts:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = self._clock()
            # A clock set back makes entries of the future, which were of the past hour all the same.
            entries = [(min(t, now), seconds) for t, seconds in self._read(descriptor) if now - PERIOD_S < t]
            spent_s = sum(seconds for _, seconds in entries)
            if spent_s + airtime_s > self._budget_s:
                raise RadioError(
                    f"on the air for {spent_s:.1f} s of the past hour; {airtime_s:.2f} s more would pass the limit of "
                    f"{self._budget_s:.0f} s (radio.max_duty); wait, or send less"
                )
            _write(descriptor, _merged([*entries, (now, airtime_s)]))
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> list[_Entry]:
        data = os.pread(descriptor, _LARGEST_FILE, 0)
        try:
            return msgspec.json.decode(data, type=list[_Entry]) if data else []
        except msgspec.DecodeError as error:
            raise RadioError(
                f"{self._path} is damaged: nobody knows how long this radio was on the air (radio.max_duty); remove "
                "the file an hour after it last sent"
            ) from error


def _merged(entries: list[_Entry]) -> list[_Entry]:
    """One entry a second, at its latest time: the file stays small however short transmissions are."""
    by_second: dict[int, _Entry] = {}
    for at, seconds in entries:
        by_second[int(at)] = (at, seconds + by_second.get(int(at), (at, 0.0))[1])
    return list(by_second.values())


def _directory() -> Path:
    path = Path(tempfile.gettempdir()) / f"airtune-duty-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.lstat().st_uid != os.getuid() or path.is_symlink():
        raise RadioError(f"{path} belongs to somebody else; remove it: airtime is counted there (radio.max_duty)")
    return path


def _write(descriptor: int, entries: list[_Entry]) -> None:
    # In one write, blanks over what was there: a process killed in between leaves no half of a file.
    os.pwrite(descriptor, msgspec.json.encode(entries).ljust(os.fstat(descriptor).st_size), 0)
