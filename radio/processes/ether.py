"""The ether: takes every client's samples of a window, and gives the receiver their sum in noise."""

from __future__ import annotations

import time
from collections import Counter

import zmq

from protocol.configuration import Experiment
from protocol.errors import AirtuneError
from radio.ether import DELIVERY_LIMIT, TAKEN, EtherWindow, RefusedDelivery
from radio.medium_socket import bind_medium
from radio.processes.lifetime import run_child, start_failed
from radio.processes.link import Link
from radio.processes.messages import (
    ArmEther,
    LeaveOut,
    SourceArmed,
    SourceDone,
    Start,
    Started,
    WindowSamples,
)


def main() -> None:
    """Entry of ``python -m radio.processes.ether``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    with zmq.Context.instance().socket(zmq.ROUTER) as medium:
        medium.setsockopt(zmq.MAXMSGSIZE, DELIVERY_LIMIT)
        medium.setsockopt(zmq.LINGER, 0)
        try:
            bind_medium(medium, start.radio_address)
        except AirtuneError as error:
            parent.send(start_failed(error))
            return
        parent.send(Started(medium.getsockopt_string(zmq.LAST_ENDPOINT)))
        _Ether(start.experiment, medium, parent, peers[0]).run()


class _Ether:
    """The process's loop: deliveries from the medium, orders from the base station."""

    def __init__(self, experiment: Experiment, medium: zmq.Socket, parent: Link, receiver: Link) -> None:
        self._experiment = experiment
        self._medium = medium
        self._parent = parent
        self._receiver = receiver
        self._window: EtherWindow | None = None
        self._armed_at = 0.0
        self._ether_s = 0.0
        self._refused: Counter[str] = Counter()

    def run(self) -> None:
        """Serve until the parent goes (LinkClosedError)."""
        poller = zmq.Poller()
        poller.register(self._medium, zmq.POLLIN)
        poller.register(self._parent.fileno(), zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._parent.fileno() in ready:
                self._obey()
            if self._medium in ready:
                self._take_delivery()
            if self._window is not None and self._window.complete:
                self._close_window(self._window)

    def _obey(self) -> None:
        order, _ = self._parent.receive()
        if isinstance(order, ArmEther):
            self._window = EtherWindow(self._experiment, order.window, order.clients)
            self._armed_at, self._ether_s = time.perf_counter(), 0.0
            self._parent.send(SourceArmed())
        elif isinstance(order, LeaveOut) and self._window is not None:
            self._window.leave_out(order.client)

    def _take_delivery(self) -> None:
        began = time.perf_counter()
        sender, *frames = [frame.buffer for frame in self._medium.recv_multipart(copy=False)]
        try:
            if self._window is None:
                raise RefusedDelivery("no window armed")
            accepted = self._window.accept(frames)
        except RefusedDelivery as refusal:
            self._refused[str(refusal)] += 1
            self._answer(sender, frames, str(refusal).encode())
            return
        self._answer(sender, frames, TAKEN)
        self._window.propagate(accepted)
        self._ether_s += time.perf_counter() - began

    def _answer(self, sender: memoryview, frames: list[memoryview], answer: bytes) -> None:
        if len(frames) == 2:
            self._medium.send_multipart([sender, frames[0], answer], flags=zmq.DONTWAIT)

    def _close_window(self, window: EtherWindow) -> None:
        began = time.perf_counter()
        samples, clipped = window.received()
        self._window = None
        self._ether_s += time.perf_counter() - began
        wait_s = began - self._armed_at
        self._receiver.send(WindowSamples(window.window), samples)
        self._parent.send(SourceDone(clipped, window.lost, wait_s, self._ether_s, dict(self._refused)))


if __name__ == "__main__":
    main()
