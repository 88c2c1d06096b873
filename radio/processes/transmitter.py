"""Transmitter of one client: modulates, runs the flowgraph, hands the samples to the ether or to a radio."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import TransmitReport
from protocol.configuration import Experiment
from protocol.errors import AirtuneError
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.channel.medium import clip
from radio.limits import check_burst, experiment_numerology, transmit_report
from radio.numerology import Numerology
from radio.processes.lifetime import run_child, start_failed
from radio.processes.link import Link
from radio.processes.messages import (
    Finish,
    Start,
    Started,
    TransmitBurst,
    TransmitRefused,
    Transmitted,
)
from radio.processes.outlets import Outlet, Position, open_outlet


def main() -> None:
    """Entry of ``python -m radio.processes.transmitter``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    import radio.flowgraphs.transmit  # noqa: F401  (GNU Radio is loaded before saying "started")

    numerology = experiment_numerology(start.experiment)
    try:
        outlet = open_outlet(start.experiment, start.client, start.radio_address, numerology)
    except AirtuneError as error:
        parent.send(start_failed(error))
        return
    try:
        parent.send(Started())
        while True:
            request, _samples = parent.receive()
            if isinstance(request, Finish):
                return
            if isinstance(request, TransmitBurst):
                parent.send(_answer(start.experiment, numerology, outlet, request))
    finally:
        outlet.close()


def _answer(
    experiment: Experiment, numerology: Numerology, outlet: Outlet, request: TransmitBurst
) -> Transmitted | TransmitRefused:
    try:
        return Transmitted(_transmit(experiment, numerology, outlet, request))
    except AirtuneError as error:
        return TransmitRefused(str(error))


def _transmit(experiment: Experiment, numerology: Numerology, outlet: Outlet, request: TransmitBurst) -> TransmitReport:
    began = time.perf_counter()
    check_burst(experiment, numerology, request.window, request.burst)
    position = outlet.position(request.window, request.burst)
    samples, clipped = _window_samples(numerology, request, position)
    spent_s = time.perf_counter() - began
    outlet.send(request.window, samples)
    return transmit_report(experiment, numerology, request.burst, clipped, spent_s)


def _window_samples(
    numerology: Numerology, request: TransmitBurst, position: Position
) -> tuple[NDArray[np.complex64], int]:
    from radio.flowgraphs.transmit import transmit_samples
    from radio.modem import modulate

    baseband = modulate(request.burst, request.blocks, numerology)
    samples = transmit_samples(request.burst, baseband, numerology, position.first, position.total)
    return clip(samples, TX_PEAK_AMPLITUDE)


if __name__ == "__main__":
    main()
