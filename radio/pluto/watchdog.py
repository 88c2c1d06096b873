"""A small process that switches a Pluto's transmitter off when the process that used it is gone, however it ended.

It holds the reading end of a pipe. A user that closes its Pluto says so before the pipe closes; one that crashed, or
was killed, does not. A session of its own keeps the watchdog alive when a whole process group is killed.
"""

from __future__ import annotations

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
WAITS_S = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Before each try to reach the Pluto: what took its user may have taken the way to it, too."""


class Watchdog:
    """The guarded process's side."""

    def __init__(self, uri: str) -> None:
        """Start watching over ``uri``."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "radio.pluto.watchdog", uri], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env=child_environment(), start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it watches: somebody may have killed it, or this machine's memory ran out."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """The transmitter is off; nothing is left to watch. Safe to call twice."""
        self._end(_DONE)

    def release(self) -> None:
        """Let it do its work now: the transmitter could not be switched off from here."""
        self._end(b"")

    def _end(self, words: bytes) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            return
        try:
            self._process.stdin.write(words)
            self._process.stdin.close()
        except BrokenPipeError:  # somebody killed it
            pass
        with suppress(subprocess.TimeoutExpired):  # then the Pluto is out of reach: it goes on trying without us
            self._process.wait(_END_PATIENCE_S)


def main(uri: str) -> int:
    """Wait for the end of the pipe; then see to it that nothing radiates."""
    load_libiio()  # now, while there is time
    reason = ""
    if sys.stdin.buffer.read().endswith(_DONE):
        return 0
    for wait_s in WAITS_S:
        time.sleep(wait_s)
        try:
            transmitter_off_at(uri)
        except (AirtuneError, OSError) as error:
            reason = cause_of(error) if isinstance(error, OSError) else str(error)
            continue
        print(f"airtune: {uri}: its user ended without switching the transmitter off; it is off now", file=sys.stderr)
        return 0
    print(f"airtune: {uri}: its user is gone and its transmitter may be on: {reason}; unplug it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
