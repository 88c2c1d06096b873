"""The base station's simulated radio: the ether, a receiver and decoders, each a process of its own.

    client transmitters -> ether -> receiver (GNU Radio) -> decoders -> this object

The samples never pass through the base station's process.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from protocol.bursts import Burst, BurstReport, Window, WindowReport
from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.channel.levels import digital_gain_offset_db
from radio.channel.medium import check_medium
from radio.drivers.faults import without_lost_blocks
from radio.limits import check_expected, experiment_numerology
from radio.processes.children import Child
from radio.processes.messages import (
    ArmEther,
    BurstDecoded,
    EtherArmed,
    EtherDone,
    ExpectWindow,
    LeaveOut,
    LinkMessage,
    ReceiverDone,
    Start,
)

DECODERS = 2


class SimulatedBaseStationRadio:
    """Implements ``radio.interface.BaseStationRadio``; for one thread at a time."""

    def __init__(self, experiment: Experiment, iq_directory: Path | None = None) -> None:
        """Start all processes and wait until they listen; the rest gets ready while the caller goes on.

        IQ that the experiment keeps goes to ``iq_directory`` (made when the first of it comes). Raises
        AddressInUseError if ``clients.radio_address`` or ``radio.spectrum_address`` is taken, ConfigurationError on an
        unknown sample rate or a channel that cannot be.
        """
        self._numerology = experiment_numerology(experiment)
        check_medium(experiment)
        self._experiment = experiment
        self._window: _OpenWindow | None = None
        self._refused: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._children = _start_children(experiment, iq_directory)
        self._ether, self._receiver = self._children[:2]
        self._selector = selectors.DefaultSelector()
        for child in self._children:
            self._selector.register(child.link, selectors.EVENT_READ, child)
        try:
            self._ether.wait_started()
            if experiment.radio.spectrum_address is not None:
                self._receiver.wait_started()
        except BaseException:
            self.close()
            raise

    @property
    def radio_address(self) -> str:
        """Where the ether listens for client radios."""
        return self._ether.radio_address

    def arm(self, window: Window, bursts: Sequence[Burst]) -> None:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is not None:
            raise RadioError(f"window {self._window.window.index} is still armed: collect it first")
        check_expected(bursts, self._numerology)
        for child in self._children:
            child.wait_started()
        self._receiver.send(ExpectWindow(window, list(bursts)))
        self._ether.send(ArmEther(window, [burst.client for burst in bursts]))
        if not isinstance(self._ether.receive(), EtherArmed):
            raise RadioError("the ether answers out of turn; start the radio anew")
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
        refused = dict(Counter(outcome.ether.refused) - self._refused)
        self._refused = Counter(outcome.ether.refused)
        said = {outcome.receiver.warning, *(one.warning for one in outcome.decoded)}
        warnings = sorted(said - {""} - self._warned)
        self._warned.update(warnings)
        report = _window_report(self._experiment, window, outcome)
        return msgspec.structs.replace(report, warnings=warnings, refused=refused)

    def leave_out(self, client: str) -> None:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is not None:
            self._ether.send(LeaveOut(client))

    def close(self) -> None:
        """See ``BaseStationRadio``."""
        self._window = None
        self._selector.close()
        for child in self._children:
            child.close()
        self._children = []

    def _check_open(self) -> None:
        if not self._children:
            raise RadioError("this base station radio is closed")


class _OpenWindow:
    """What has come in of the armed window."""

    def __init__(self, window: Window, bursts: int) -> None:
        self.window = window
        self._expected = bursts
        self._decoded: dict[int, BurstDecoded] = {}
        self._ether: EtherDone | None = None
        self._receiver: ReceiverDone | None = None

    def take(self, message: LinkMessage) -> None:
        """Note one message of a child."""
        if isinstance(message, BurstDecoded):
            self._decoded[message.position] = message
        elif isinstance(message, EtherDone):
            self._ether = message
        elif isinstance(message, ReceiverDone):
            self._receiver = message

    def outcome(self) -> _WindowOutcome | None:
        """All that the report is made of, once the last of it is in."""
        if self._ether is None or self._receiver is None or len(self._decoded) < self._expected:
            return None
        return _WindowOutcome(self._ether, self._receiver, [self._decoded[i] for i in range(self._expected)])


class _WindowOutcome(NamedTuple):
    """What all processes said of a closed window; bursts in the order they were armed."""

    ether: EtherDone
    receiver: ReceiverDone
    decoded: list[BurstDecoded]


def _window_report(experiment: Experiment, window: Window, outcome: _WindowOutcome) -> WindowReport:
    ether, receiver, decoded = outcome
    return WindowReport(
        window=window,
        bursts=[physical_report(experiment, window, one.report) for one in decoded],
        noise_db=receiver.noise_db,
        psd_db=receiver.psd_db,
        clipped_samples=ether.clipped_samples,
        lost=ether.lost,
        stage_s={
            "wait": ether.wait_s,
            "ether": ether.ether_s,
            "flowgraph": receiver.flowgraph_s,
            "decode": sum(one.decode_s for one in decoded),
        },
    )


def physical_report(experiment: Experiment, window: Window, report: BurstReport) -> BurstReport:
    """A modem's report with gains as channel power gains, and without the blocks a fault discards."""
    offset_db = digital_gain_offset_db(experiment)
    return msgspec.structs.replace(
        without_lost_blocks(experiment, window, report),
        gain_db=[gain + offset_db for gain in report.gain_db],
        channel_db=[gain + offset_db for gain in report.channel_db],
    )


def _start_children(experiment: Experiment, iq_directory: Path | None) -> list[Child]:
    """Ether, receiver, decoders; their links to each other are made here and passed on."""
    ether_out, receiver_in = socket.socketpair()
    pairs = [socket.socketpair() for _ in range(DECODERS)]
    directory = str(iq_directory) if iq_directory is not None else ""
    start = Start(experiment, radio_address=experiment.clients.radio_address, iq_directory=directory)
    ends = [ether_out, receiver_in, *(end for pair in pairs for end in pair)]
    try:
        return [
            Child("ether", "ether", start, (ether_out,)),
            Child("receiver", "receiver", start, (receiver_in, *(out for out, _ in pairs))),
            *(Child("decoder", f"decoder {i}", start, (into,)) for i, (_, into) in enumerate(pairs)),
        ]
    finally:
        for end in ends:
            end.close()
