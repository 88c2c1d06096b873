"""What base station radios with samples have in common: a source of samples, a receiver and decoders, each a process.

    source (the ether, or a radio's capture) -> receiver (GNU Radio) -> decoders -> this object

The samples never pass through the base station's process.
"""

from __future__ import annotations

import selectors
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from protocol.bursts import Burst, BurstReport, Window, WindowReport
from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.limits import check_expected, experiment_numerology
from radio.processes.children import Child
from radio.processes.messages import (
    BurstDecoded,
    ExpectWindow,
    LeaveOut,
    LinkMessage,
    ReceiverDone,
    SourceArmed,
    SourceDone,
    SourceFailed,
    Start,
)

DECODERS = 2


class ReceivingStation(ABC):
    """Implements ``radio.interface.BaseStationRadio`` but for what the source of samples is told; for one thread."""

    def __init__(self, experiment: Experiment, source: str, iq_directory: Path | None) -> None:
        """Start all processes and wait until the source listens; the rest gets ready while the caller goes on.

        ``source``: module of ``radio.processes`` that samples come from. IQ of failed bursts goes to ``iq_directory``
        (made when the first one comes). Raises what keeps a process from starting, and AddressInUseError if
        ``radio.spectrum_address`` is taken.
        """
        self._experiment = experiment
        self._numerology = experiment_numerology(experiment)
        self._window: _OpenWindow | None = None
        self._refused: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._children = _start_children(experiment, source, iq_directory)
        self._source, self._receiver = self._children[:2]
        self._selector = selectors.DefaultSelector()
        for child in self._children:
            self._selector.register(child.link, selectors.EVENT_READ, child)
        try:
            self._source.wait_started()
            if experiment.radio.spectrum_address is not None:
                self._receiver.wait_started()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _order(self, window: Window, bursts: Sequence[Burst]) -> LinkMessage:
        """What arms the source."""

    @abstractmethod
    def _physical(self, window: Window, report: BurstReport) -> BurstReport:
        """A modem's report in physical units."""

    @property
    def radio_address(self) -> str:
        """Where the source listens for client radios; empty for one that needs not be found."""
        return self._source.started.radio_address

    @property
    def identity(self) -> dict[str, str]:
        """See ``BaseStationRadio``."""
        return self._source.started.identity

    def arm(self, window: Window, bursts: Sequence[Burst]) -> None:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is not None:
            raise RadioError(f"window {self._window.window.index} is still armed: collect it first")
        check_expected(bursts, self._numerology)
        for child in self._children:
            child.wait_started()
        self._receiver.send(ExpectWindow(window, list(bursts)))
        self._source.send(self._order(window, bursts))
        answer = self._source.receive()
        if isinstance(answer, SourceFailed):
            raise RadioError(answer.reason)
        if not isinstance(answer, SourceArmed):
            raise RadioError(f"the {self._source.name} answers out of turn; start the radio anew")
        self._window = _OpenWindow(window, len(bursts))

    def collect(self, timeout_s: float) -> WindowReport:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is None:
            raise RadioError("no window is armed")
        deadline = time.monotonic() + timeout_s
        while (outcome := self._window.outcome()) is None:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise RadioError(f"window {self._window.window.index} did not close within {timeout_s:g} s")
            for key, _ in ready:
                self._window.take(key.data.receive())
        window, self._window = self._window.window, None
        refused = dict(Counter(outcome.source.refused) - self._refused)
        self._refused = Counter(outcome.source.refused)
        said = {outcome.receiver.warning, *outcome.source.warnings, *(one.warning for one in outcome.decoded)}
        warnings = sorted(said - {""} - self._warned)
        self._warned.update(warnings)
        report = self._window_report(window, outcome)
        return msgspec.structs.replace(report, warnings=warnings, refused=refused)

    def leave_out(self, client: str) -> None:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is not None:
            self._source.send(LeaveOut(client))

    def close(self) -> None:
        """See ``BaseStationRadio``."""
        self._window = None
        self._selector.close()
        for child in self._children:
            child.close()
        self._children = []

    def _window_report(self, window: Window, outcome: _WindowOutcome) -> WindowReport:
        source, receiver, decoded = outcome
        return WindowReport(
            window=window,
            bursts=[self._physical(window, one.report) for one in decoded],
            noise_db=receiver.noise_db,
            psd_db=receiver.psd_db,
            clipped_samples=source.clipped_samples,
            lost=source.lost,
            stage_s={
                "wait": source.wait_s,
                "ether": source.source_s,
                "flowgraph": receiver.flowgraph_s,
                "decode": sum(one.decode_s for one in decoded),
            },
        )

    def _check_open(self) -> None:
        if not self._children:
            raise RadioError("this base station radio is closed")


class _OpenWindow:
    """What has come in of the armed window."""

    def __init__(self, window: Window, bursts: int) -> None:
        self.window = window
        self._expected = bursts
        self._decoded: dict[int, BurstDecoded] = {}
        self._source: SourceDone | None = None
        self._receiver: ReceiverDone | None = None
        self._failure = ""

    def take(self, message: LinkMessage) -> None:
        """Note one message of a child."""
        if isinstance(message, BurstDecoded):
            self._decoded[message.position] = message
        elif isinstance(message, SourceDone):
            self._source = message
        elif isinstance(message, SourceFailed):
            self._failure = message.reason
        elif isinstance(message, ReceiverDone):
            self._receiver = message

    def outcome(self) -> _WindowOutcome | None:
        """All that the report is made of, once the last of it is in. Raises RadioError once the radio has failed."""
        if self._failure:
            raise RadioError(self._failure)
        if self._source is None or self._receiver is None or len(self._decoded) < self._expected:
            return None
        return _WindowOutcome(self._source, self._receiver, [self._decoded[i] for i in range(self._expected)])


class _WindowOutcome(NamedTuple):
    """What all processes said of a closed window; bursts in the order they were armed."""

    source: SourceDone
    receiver: ReceiverDone
    decoded: list[BurstDecoded]


def _start_children(experiment: Experiment, source: str, iq_directory: Path | None) -> list[Child]:
    """Source, receiver, decoders; their links to each other are made here and passed on."""
    source_out, receiver_in = socket.socketpair()
    pairs = [socket.socketpair() for _ in range(DECODERS)]
    directory = str(iq_directory) if iq_directory is not None else ""
    start = Start(experiment, radio_address=experiment.clients.radio_address, iq_directory=directory)
    ends = [source_out, receiver_in, *(end for pair in pairs for end in pair)]
    try:
        return [
            Child(source, source, start, (source_out,)),
            Child("receiver", "receiver", start, (receiver_in, *(out for out, _ in pairs))),
            *(Child("decoder", f"decoder {i}", start, (into,)) for i, (_, into) in enumerate(pairs)),
        ]
    finally:
        for end in ends:
            end.close()
