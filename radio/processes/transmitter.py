"""Transmitter of one simulated client: modulates, runs the flowgraph, delivers to the ether."""

from __future__ import annotations

import time

import numpy as np
import zmq
from numpy.typing import NDArray

from protocol.bursts import Burst, TransmitReport, Window
from protocol.configuration import Experiment
from protocol.errors import AirtuneError, RadioError
from radio.channel.draws import jitter
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.channel.medium import clip
from radio.ether import delivery_frames
from radio.limits import SILENT_SAMPLES, check_burst, experiment_numerology
from radio.modem import burst_air_samples
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

    with _connected(start.radio_address) as medium:
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


def _connected(address: str) -> zmq.Socket:
    medium = zmq.Context.instance().socket(zmq.DEALER)
    # A base station may be restarted at its address while this radio lives on.
    medium.setsockopt(zmq.RECONNECT_IVL, 20)
    medium.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    medium.setsockopt(zmq.LINGER, 0)
    medium.connect(address)
    return medium


def _transmit(start: Start, medium: zmq.Socket, request: TransmitBurst) -> TransmitReport:
    began = time.perf_counter()
    numerology = experiment_numerology(start.experiment)
    check_burst(start.experiment, numerology, request.window, request.burst)
    samples, clipped = _window_samples(start.experiment, numerology, start.client, request)
    spent_s = time.perf_counter() - began
    _deliver(medium, request.window, start.client, samples)
    return _report(start.experiment, numerology, request.burst, clipped, spent_s)


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
    samples = transmit_samples(
        request.burst, baseband, numerology, experiment.radio.guard_rb, first, request.window.n_samples
    )
    return clip(samples, TX_PEAK_AMPLITUDE)


def _report(
    experiment: Experiment, numerology: Numerology, burst: Burst, clipped: int, spent_s: float
) -> TransmitReport:
    air_samples = burst_air_samples(burst, numerology)
    power_dbm = experiment.radio.tx_power_dbm + burst.tx_gain_db
    energy_j = 10.0 ** ((power_dbm - 30.0) / 10.0) * air_samples / numerology.sample_rate_hz
    return TransmitReport(air_samples, power_dbm, energy_j, clipped, spent_s)


if __name__ == "__main__":
    main()
