"""The limit of the orchestration benchmark: a ZeroMQ loop with CURVE, one message part per array, no copy of ours.

A ROUTER sends the global arrays to every client, each client's DEALER sends back arrays of the same sizes, and the
mean is added to the global arrays in place. No schema, no limits, no records, no liveness, nothing on disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import zmq

from benchmarks.parts.orchestration_marks import Marks, part_command
from benchmarks.parts.orchestration_payloads import PAYLOADS, STEP, client_names, process_groups
from protocol.processes import die_with_parent, end_processes

_HELLO, _STOP = b"hello", b"stop"


def secured(context: Any, kind: int, pair: tuple[bytes, bytes]) -> Any:
    """A CURVE socket without limits on what may wait in it."""
    opened = context.socket(kind)
    opened.curve_publickey, opened.curve_secretkey = pair
    opened.sndhwm = opened.rcvhwm = 0
    opened.linger = 1_000
    return opened


def run_clients(names: Sequence[str], address: str, server_key: bytes) -> None:
    """Answer every set of arrays with another; until told to stop."""
    context, poller = zmq.Context(), zmq.Poller()
    for name in names:
        dealer = secured(context, zmq.DEALER, zmq.curve_keypair())
        dealer.curve_serverkey = server_key
        dealer.routing_id = name.encode()
        dealer.connect(address)
        dealer.send(_HELLO)
        poller.register(dealer, zmq.POLLIN)
    answers: dict[Any, list[Any]] = {}
    while True:
        for dealer, _ in poller.poll():
            frames = dealer.recv_multipart(copy=False)
            if frames[0].bytes == _STOP:
                context.destroy(linger=0)
                return
            dealer.send_multipart(answer(frames, answers.setdefault(dealer, [])), copy=False)


def answer(frames: Sequence[Any], own: list[Any]) -> list[Any]:
    """What a client sends back: its "trained" arrays less those it got, in arrays of its ``own`` that are used again.

    The last answer has been taken by the time the next question is there, as the station waits for all of them.
    """
    got = [np.frombuffer(frame.buffer, np.float32) for frame in frames]
    if not own:
        own += [np.empty_like(array) for array in got]
    for array, delta in zip(got, own, strict=True):
        np.add(array, STEP, out=delta)
        np.subtract(delta, array, out=delta)
    return own


class Loop:
    """The station's end; a context manager that ends its clients."""

    def __init__(self, clients: int) -> None:
        self._names = client_names(clients)
        self._context = zmq.Context()
        public, secret = zmq.curve_keypair()
        self._router = secured(self._context, zmq.ROUTER, (public, secret))
        self._router.curve_server = True
        port = self._router.bind_to_random_port("tcp://127.0.0.1")
        common = ["--parent", str(os.getpid()), "--station", f"tcp://127.0.0.1:{port}", "--server-key", public.decode()]
        self._processes = [
            subprocess.Popen(
                [*part_command("limit"), "client", *common, *group],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for group in process_groups(self._names)
        ]
        for _ in self._names:
            self._router.recv_multipart()

    def round(self, arrays: Sequence[Any], means: Sequence[Any], scratch: Any) -> dict[str, float]:
        """One round; ``arrays`` change in place, ``means`` of their sizes are used again. What its parts took."""
        began_s = time.monotonic()
        for name in self._names:
            self._router.send_multipart([name.encode(), *arrays], copy=False)
        for mean in means:
            mean.fill(0.0)
        added_s, weight = 0.0, np.float32(1.0 / len(self._names))
        for _ in self._names:
            _, *frames = self._router.recv_multipart(copy=False)
            since_s = time.monotonic()
            for frame, mean in zip(frames, means, strict=True):
                scaled = scratch[: mean.size]
                np.multiply(np.frombuffer(frame.buffer, np.float32), weight, out=scaled)
                mean += scaled
            added_s += time.monotonic() - since_s
        for array, mean in zip(arrays, means, strict=True):
            array += mean
        return {"mean": added_s, "exchange": time.monotonic() - began_s - added_s}

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            self._router.send_multipart([name.encode(), _STOP])
        self._context.destroy(linger=1_000)
        for process in self._processes:
            process.wait(10)
        end_processes(self._processes)


def main() -> None:
    """Command line of both ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ends = parser.add_subparsers(dest="end", required=True)
    station, client = ends.add_parser("station"), ends.add_parser("client")
    station.add_argument("--clients", type=int, required=True)
    station.add_argument("--payload", choices=PAYLOADS, required=True)
    station.add_argument("--marks", required=True)
    client.add_argument("--parent", type=int, required=True)
    client.add_argument("--station", required=True)
    client.add_argument("--server-key", required=True)
    client.add_argument("names", nargs="+")
    options = parser.parse_args()
    if options.end == "client":
        die_with_parent(options.parent)
        run_clients(options.names, options.station, options.server_key.encode())
        return
    arrays = [value.ravel() for value in PAYLOADS[options.payload].arrays().values()]
    means = [np.empty_like(array) for array in arrays]
    scratch = np.empty(max(array.size for array in arrays), np.float32)
    with Loop(options.clients) as loop, Marks(options.marks) as marks:
        while marks.next_round():
            marks.round_done(loop.round(arrays, means, scratch))
