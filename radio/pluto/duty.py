"""How long a transmitter was on the air in the past hour, whoever used it: a file per serial number, locked."""

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
            entries = [e for e in _read(descriptor) if now - PERIOD_S < e[0] <= now]
            spent_s = sum(seconds for _, seconds in entries)
            if spent_s + airtime_s > self._budget_s:
                raise RadioError(
                    f"on the air for {spent_s:.1f} s of the past hour; {airtime_s:.2f} s more would pass the limit of "
                    f"{self._budget_s:.0f} s (radio.max_duty); wait, or send less"
                )
            _write(descriptor, [*entries, (now, airtime_s)])
        finally:
            os.close(descriptor)


def _directory() -> Path:
    path = Path(tempfile.gettempdir()) / f"airtune-duty-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.lstat().st_uid != os.getuid() or path.is_symlink():
        raise RadioError(f"{path} belongs to somebody else; remove it: airtime is counted there (radio.max_duty)")
    return path


def _read(descriptor: int) -> list[_Entry]:
    try:
        return msgspec.json.decode(os.pread(descriptor, _LARGEST_FILE, 0), type=list[_Entry])
    except msgspec.DecodeError:  # new, or cut off when the machine went down
        return []


def _write(descriptor: int, entries: list[_Entry]) -> None:
    data = msgspec.json.encode(entries)
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))
