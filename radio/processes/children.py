"""Parent's side of a radio process: start it, know when it died, end it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from protocol.errors import AddressInUseError, AirtuneError, ConfigurationError, DataError, MissingPartError, RadioError
from radio.processes.link import Link, LinkClosedError, LinkSilentError
from radio.processes.messages import LinkMessage, Start, Started, StartFailed

_SOURCE_ROOT = str(Path(__file__).resolve().parents[2])
SILENCE_LIMIT_S = 60.0
"""Wall-clock time a process may take over a step (starting, arming, sending a burst) before it counts as hung."""
_STDERR = 2
START_ERRORS: dict[str, type[AirtuneError]] = {
    "missing": MissingPartError,
    "address-in-use": AddressInUseError,
    "data": DataError,
    "configuration": ConfigurationError,
    "other": RadioError,
}


class Child:
    """A radio process and the link to it. Started at once; ``wait_started`` waits for its first word.

    A process that does not answer (or take a message) within ``limit_s`` of wall clock is killed.
    """

    def __init__(
        self,
        module: str,
        name: str,
        start: Start,
        peers: tuple[socket.socket, ...] = (),
        limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        """Run ``python -m radio.processes.<module>``; ``peers`` are its ends of links to other children."""
        self.name = name
        self._limit_s = limit_s
        self.started = Started()
        """What it said when it was ready; as if it had nothing to say before that."""
        self._started = False
        ours, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), *(peer.fileno() for peer in peers)]
        command = [sys.executable, "-m", f"radio.processes.{module}", *map(str, descriptors)]
        # A new interpreter, never a fork: GNU Radio's threads and torch's do not survive one.
        # What libraries print (gr-iio: a U for every underflow) must not get into a command's JSON.
        self.process = subprocess.Popen(
            command, pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=_STDERR, env=child_environment()
        )
        theirs.close()
        self.link = Link(ours, limit_s)
        self.send(start)

    def send(self, message: LinkMessage) -> None:
        """Send a message. Raises RadioError if the process has ended or hangs."""
        try:
            self.link.send(message)
        except LinkSilentError as error:
            raise self._hung() from error
        except LinkClosedError as error:
            raise self.died() from error

    def receive(self) -> LinkMessage:
        """Next message. Raises RadioError if the process has ended or hangs."""
        try:
            return self.link.receive()[0]
        except LinkSilentError as error:
            raise self._hung() from error
        except LinkClosedError as error:
            raise self.died() from error

    def wait_started(self) -> None:
        """Wait until the process works. Raises what kept it from starting."""
        if self._started:
            return
        message = self.receive()
        if isinstance(message, StartFailed):
            raise START_ERRORS[message.cause](message.reason)
        if not isinstance(message, Started):
            raise RadioError(f"the {self.name} process does not start as agreed; report this")
        self.started = message
        self._started = True

    def died(self) -> RadioError:
        """The error that says how this process ended."""
        code = self.exit_code(timeout_s=1.0)
        how = "closed its link" if code is None else f"was killed by signal {-code}" if code < 0 else f"exited ({code})"
        return RadioError(f"the {self.name} process {how}; start the radio anew (its stderr says more)")

    def _hung(self) -> RadioError:
        # Left alive it could answer this request in the middle of the next; dead, every later use says so.
        self.process.kill()
        return RadioError(
            f"the {self.name} process did not answer within {self._limit_s:g} s and was ended; start the radio anew"
        )

    def exit_code(self, timeout_s: float) -> int | None:
        """Exit status, negative for a signal, None while it runs after ``timeout_s``."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def close(self, grace_s: float = 0.0) -> None:
        """End the process: by itself within ``grace_s``, else by SIGKILL (it holds no state). Safe to call twice."""
        if grace_s <= 0.0 or self.exit_code(grace_s) is None:
            self.process.kill()
        self.process.wait()
        self.link.close()


def child_environment() -> dict[str, str]:
    """Environment of a child process: one thread (parallelism is by process), this source tree first."""
    # The safe path keeps a user's own folders called "radio" or "protocol" from being imported.
    environment = dict(os.environ)
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = _SOURCE_ROOT if not inherited else os.pathsep.join([_SOURCE_ROOT, inherited])
    environment["PYTHONSAFEPATH"] = "1"
    environment.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    return environment
