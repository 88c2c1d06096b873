"""Transmitter of one simulated client: modulates, runs the flowgraph, delivers to the ether."""

from __future__ import annotations

import time

import numpy as np
import zmq
from numpy.typing import NDArray

from protocol.bursts import TransmitReport, Window
from protocol.configuration import Experiment
from protocol.errors import AirtuneError, RadioError
from radio.channel.draws import jitter
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.channel.medium import clip
from radio.ether import delivery_frames
from radio.limits import SILENT_SAMPLES, check_burst, experiment_numerology, transmit_report
from radio.medium_socket import connect_medium
from radio.numerology import Numerology
from radio.processes.lifetime import run_child
from radio.processes.link import Link
from radio.processes.messages import Finish, Start, Started, TransmitBurst, TransmitRefused, Transmitted

_ANSWER_WAIT_S = 20.0
"""Wall-clock wait for the ether to answer a delivery: it answers at once, unless it is gone."""


def main() -> None:
    """Entry of ``python -m radio.processes.transmitter``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    import radio.flowgraphs.transmit  # noqa: F401  (GNU Radio is loaded before saying "started")

    with connect_medium(start.radio_address) as medium:
        parent.send(Started())
        while True:
            request, _samples = parent.receive()
            if isinstance(request, Finish):
                return
            if isinstance(request, TransmitBurst):
                parent.send(_answer(start, medium, request))


def _answer(start: Start, medium: zmq.Socket, request: TransmitBurst) -> Transmitted | TransmitRefused:
    try:
        return Transmitted(_transmit(start, medium, request))
    except AirtuneError as error:
        return TransmitRefused(str(error))


def _transmit(start: Start, medium: zmq.Socket, request: TransmitBurst) -> TransmitReport:
    began = time.perf_counter()
    numerology = experiment_numerology(start.experiment)
    check_burst(start.experiment, numerology, request.window, request.burst)
    samples, clipped = _window_samples(start.experiment, numerology, start.client, request)
    spent_s = time.perf_counter() - began
    _deliver(medium, request.window, start.client, samples)
    return transmit_report(start.experiment, numerology, request.burst, clipped, spent_s)


def _deliver(medium: zmq.Socket, window: Window, client: str, samples: NDArray[np.complex64]) -> None:
    """Hand the samples over and wait until the ether has them.

    A refusal is not an error here: a transmitter does not learn who listened.
    """
    header, body = delivery_frames(window, client, samples)
    deadline = time.monotonic() + _ANSWER_WAIT_S
    medium.send_multipart([header, body], copy=False)
    while medium.poll(max(0, round(1e3 * (deadline - time.monotonic())))):
        if medium.recv_multipart()[0] == header:
            return
    raise RadioError(f"the ether does not answer client '{client}'; is the base station running?")


def _window_samples(
    experiment: Experiment, numerology: Numerology, client: str, request: TransmitBurst
) -> tuple[NDArray[np.complex64], int]:
    from radio.flowgraphs.transmit import transmit_samples
    from radio.modem import modulate

    baseband = modulate(request.burst, request.blocks, numerology)
    first = SILENT_SAMPLES + jitter(experiment, request.window, client)
    samples = transmit_samples(request.burst, baseband, numerology, first, request.window.n_samples)
    return clip(samples, TX_PEAK_AMPLITUDE)


if __name__ == "__main__":
    main()
