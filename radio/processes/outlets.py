"""Where a transmitter process puts its samples: the ether, or the antenna of a radio on a desk."""

from __future__ import annotations

import sys
import time
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, Window
from protocol.configuration import HARDWARE_DRIVERS, Experiment
from protocol.errors import RadioError
from radio.channel.draws import jitter
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.desk import open_transmit_end
from radio.ether import delivery_frames
from radio.limits import SILENT_SAMPLES
from radio.medium_socket import connect_medium
from radio.modem.layout import burst_air_samples
from radio.numerology import Numerology

Samples = NDArray[np.complex64]

_ANSWER_WAIT_S = 20.0
"""Wall-clock wait for the ether to answer a delivery: it answers at once, unless it is gone."""


class Position(NamedTuple):
    """Where a burst stands in what is sent, samples."""

    first: int
    total: int


class Outlet(Protocol):
    """Takes the samples of bursts."""

    def position(self, window: Window, burst: Burst) -> Position:
        """Where ``burst`` is to stand in the samples that ``send`` takes."""

    def send(self, window: Window, samples: Samples) -> None:
        """Put samples (full power 1, peaks up to ``TX_PEAK_AMPLITUDE``) on the air. Raises RadioError."""

    def close(self) -> None:
        """Let go of everything."""


class EtherOutlet:
    """Delivers whole windows to the simulated ether, the burst anywhere within the jitter."""

    def __init__(self, experiment: Experiment, client: str, radio_address: str) -> None:
        self._experiment = experiment
        self._client = client
        self._medium = connect_medium(radio_address)

    def position(self, window: Window, burst: Burst) -> Position:
        """See ``Outlet``."""
        return Position(SILENT_SAMPLES + jitter(self._experiment, window, self._client), window.n_samples)

    def send(self, window: Window, samples: Samples) -> None:
        """Hand the samples over and wait until the ether has them.

        A refusal is not an error here: a transmitter does not learn who listened.
        """
        header, body = delivery_frames(window, self._client, samples)
        deadline = time.monotonic() + _ANSWER_WAIT_S
        self._medium.send_multipart([header, body], copy=False)
        while self._medium.poll(max(0, round(1e3 * (deadline - time.monotonic())))):
            if self._medium.recv_multipart()[0] == header:
                return
        raise RadioError(f"the ether does not answer client '{self._client}'; is the base station running?")

    def close(self) -> None:
        """See ``Outlet``."""
        self._medium.close()


class AntennaOutlet:
    """Sends a burst with zeros around it by a radio on a desk; the radio chooses when."""

    def __init__(self, experiment: Experiment, client: str, numerology: Numerology) -> None:
        self._numerology = numerology
        self._client = client
        self._told = 0
        self._end = open_transmit_end(experiment, client)
        self._tell()

    def position(self, window: Window, burst: Burst) -> Position:
        """See ``Outlet``."""
        return Position(SILENT_SAMPLES, burst_air_samples(burst, self._numerology) + 2 * SILENT_SAMPLES)

    def send(self, window: Window, samples: Samples) -> None:
        """See ``Outlet``."""
        try:
            self._end.send(samples * np.float32(1.0 / TX_PEAK_AMPLITUDE))
        finally:
            self._tell()  # how a radio was found that was lost meanwhile

    def close(self) -> None:
        """See ``Outlet``."""
        self._end.close()

    def _tell(self) -> None:
        notes = self._end.notes
        for note in notes[self._told :]:
            print(f"airtune: client '{self._client}': {note}", file=sys.stderr, flush=True)
        self._told = len(notes)


def open_outlet(experiment: Experiment, client: str, radio_address: str, numerology: Numerology) -> Outlet:
    """What ``radio.driver`` asks for. Raises RadioError, MissingPartError and ConfigurationError."""
    if experiment.radio.driver in HARDWARE_DRIVERS:
        return AntennaOutlet(experiment, client, numerology)
    return EtherOutlet(experiment, client, radio_address)
