"""The clients as the base station sees them during a run: who is there, who answered, who is gone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from base_station.progress import Progress
from protocol.configuration import ClientsTable
from protocol.control import Rejection, StationControl
from protocol.messages import ClientMessage, Failed, Heartbeat, Hello, StationMessage, Welcome

Answer = TypeVar("Answer")
MAX_REPLANS = 2
"""A client whose process keeps dying gets the round's plan anew this often."""


class Roster:
    """Talks to the clients and keeps, for the current round, who still takes part.

    A client is left out of a round when it says it failed, when its process was replaced, when it was silent
    for ``liveness_timeout_s`` or did not answer for ``answer_timeout_s`` (wall clock), or when it sent something off
    the schema.
    """

    def __init__(
        self, control: StationControl, welcomes: Mapping[str, Welcome], timeouts: ClientsTable, progress: Progress
    ) -> None:
        self._control = control
        self._welcomes = welcomes
        self._liveness_timeout_s = timeouts.liveness_timeout_s
        self._answer_timeout_s = timeouts.answer_timeout_s
        self._progress = progress
        self.joined: set[str] = set()
        """Clients that said hello since this base station started, and are not gone."""
        self.left_out: dict[str, str] = {}
        """Clients that dropped out of the current round, and why."""

    def begin_round(self) -> list[str]:
        """Forget last round's drop-outs; returns the clients that are there, in the experiment's order."""
        self.left_out = {}
        return [name for name in self._welcomes if name in self.joined]

    def wait_for_clients(self, timeout_s: float) -> None:
        """Wait until every client said hello, or ``timeout_s`` of wall clock passed."""
        self._wait_until(lambda: len(self.joined) == len(self._welcomes), timeout_s)

    def wait_for_any(self, timeout_s: float) -> None:
        """Wait until at least one client is there, or ``timeout_s`` of wall clock passed."""
        self._wait_until(lambda: bool(self.joined), timeout_s)

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            self._take_in(0.2, lambda name, message: None)

    def send(self, name: str, message: StationMessage) -> None:
        """Send to one client."""
        self._control.send(name, message)

    def leave_out(self, name: str, reason: str) -> None:
        """Drop a client from the current round."""
        if name not in self.left_out:
            self.left_out[name] = reason
            self._progress.warn(f"{name} is left out of this round: {reason}")

    def warn(self, text: str) -> None:
        """Tell whoever watches the run."""
        self._progress.warn(text)

    def gather(
        self,
        names: Iterable[str],
        wanted: type[Answer],
        accept: Callable[[str, Answer], bool],
        replan: Callable[[str], None] | None = None,
    ) -> dict[str, Answer]:
        """Collect one ``wanted`` message from each of ``names``; those left out meanwhile are missing.

        ``accept`` tells whether a message answers the question (right round, right window). ``replan`` sends the
        round's plan to a client that (re)joins while answers are awaited; without it such a client sits the round out.
        """  # fmt: skip
        waiting = set(names)
        answers: dict[str, Answer] = {}
        replans: Counter[str] = Counter()
        deadline = time.monotonic() + self._answer_timeout_s

        def take(name: str, message: ClientMessage) -> None:
            if isinstance(message, Hello) and replan is not None and replans[name] < MAX_REPLANS:
                replans[name] += 1
                self.left_out.pop(name, None)
                waiting.add(name)
                answers.pop(name, None)
                replan(name)
            elif isinstance(message, wanted) and name in waiting and accept(name, message):
                answers[name] = message
                waiting.discard(name)

        while waiting - set(self.left_out):
            self._take_in(0.5, take)
            if time.monotonic() > deadline:
                for name in waiting:
                    self.leave_out(name, f"no answer within {self._answer_timeout_s:.0f} s")
        return {name: answers[name] for name in self._welcomes if name in answers and name not in self.left_out}

    def _take_in(self, timeout_s: float, take: Callable[[str, ClientMessage], None]) -> None:
        received = self._control.receive(timeout_s)
        if received is not None:
            name, message = received
            if isinstance(message, Rejection):
                if name in self._welcomes:
                    self.leave_out(name, message.reason)
                else:
                    self._progress.warn(message.reason)
            else:
                self._note(name, message)
                take(name, message)
        for name in list(self.joined):
            if self._control.last_heard_s(name) > self._liveness_timeout_s:
                self.joined.discard(name)
                self.leave_out(name, f"not heard for {self._liveness_timeout_s:.0f} s")

    def _note(self, name: str, message: ClientMessage) -> None:
        if isinstance(message, Hello):
            if name in self.joined:
                # Out of this round, unless its plan is sent anew.
                self.left_out.setdefault(name, "its process was restarted")
                self._progress.warn(f"{name}: its process was restarted")
            self.joined.add(name)
            self._control.send(name, self._welcomes[name])
            self._progress.client(name, "joined")
        elif isinstance(message, Heartbeat):
            self.joined.add(name)
            self._progress.client(name, message.stage)
        elif isinstance(message, Failed):
            self.leave_out(name, message.reason)
