"""A small process that switches a Pluto's transmitter off when the process that used it is gone, or stands still.

It holds the reading end of a pipe, and hears of every transmission how long it will last, and when it is over. A user
that closes its Pluto says so before the pipe closes; one that crashed, or was killed, does not. A session of its own
keeps the watchdog alive when a whole process group is killed, or stopped.
"""

from __future__ import annotations

import math
import os
import select
import subprocess
import sys
import time
from contextlib import suppress

from protocol.errors import AirtuneError
from radio.pluto.attributes import cause_of
from radio.pluto.libraries import load_libiio
from radio.pluto.safety import transmitter_off_at
from radio.processes.children import child_environment

_DONE = b"done\n"
_END_PATIENCE_S = 5.0
OVERRUN_S = 10.0
"""Beyond the length of a transmission: a process that has not ended it by then is stopped, or hangs."""
WAITS_S = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Before each try to reach the Pluto: what took its user may have taken the way to it, too."""


class Watchdog:
    """The guarded process's side."""

    def __init__(self, uri: str) -> None:
        """Start watching over ``uri``."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "radio.pluto.watchdog", uri], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            bufsize=0, env=child_environment(), start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it watches: somebody may have killed it, or this machine's memory ran out."""
        return self._process.poll() is None

    def carrier_on(self, at_most_s: float) -> None:
        """The carrier will be on for so long at most."""
        self._say(b"on %f\n" % at_most_s)

    def carrier_off(self) -> None:
        """The carrier is off."""
        self._say(b"off\n")

    def dismiss(self) -> None:
        """The transmitter is off; nothing is left to watch. Safe to call twice."""
        self._end(_DONE)

    def release(self) -> None:
        """Let it do its work now: the transmitter could not be switched off from here."""
        self._end(b"")

    def _say(self, words: bytes) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # somebody killed it
                self._process.stdin.write(words)

    def _end(self, words: bytes) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            return
        self._say(words)
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):  # then the Pluto is out of reach: it goes on trying without us
            self._process.wait(_END_PATIENCE_S)


def main(uri: str, pipe: int = 0) -> int:
    """Listen until the end of ``pipe``; see to it that nothing radiates then, or longer than it was to."""
    load_libiio()  # now, while there is time
    deadline_s, left = math.inf, b""
    while True:
        wait_s = None if math.isinf(deadline_s) else max(deadline_s - time.monotonic(), 0.0)
        if not select.select([pipe], [], [], wait_s)[0]:
            deadline_s = math.inf
            _switch_off(uri, "its user did not switch the transmitter off in time")
            continue
        if not (heard := os.read(pipe, 4096)):
            return _switch_off(uri, "its user ended without switching the transmitter off")
        *lines, left = (left + heard).split(b"\n")
        for line in lines:
            if line == _DONE.strip():
                return 0
            on = line.startswith(b"on ")
            deadline_s = time.monotonic() + float(line[3:]) + OVERRUN_S if on else math.inf


def _switch_off(uri: str, why: str) -> int:
    """Do it, and tell what came of it; returns an exit status."""
    reason = ""
    for wait_s in WAITS_S:
        time.sleep(wait_s)
        try:
            transmitter_off_at(uri)
        except (AirtuneError, OSError) as error:
            reason = cause_of(error) if isinstance(error, OSError) else str(error)
            continue
        print(f"airtune: {uri}: {why}; it is off now", file=sys.stderr, flush=True)
        return 0
    print(f"airtune: {uri}: {why} and it may be on: {reason}; unplug it", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
