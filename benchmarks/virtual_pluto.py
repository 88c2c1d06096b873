"""Virtual Plutos: processor time of the server at real rates, and what it loses.

    OMP_NUM_THREADS=1 python -m benchmarks.virtual_pluto [--radios 3] [--rate-msps 2] [--seconds 10] [--model awgn]

medium: processor time for one second of the medium, every radio receiving; none, one or all of them send noise
without a pause; no sockets. The limit is 1.00: one core that keeps up in real time. Least and median of many pieces:
on a machine with other work the least tells what an idle one would take.

paced: the same through the server and its sockets at the real rate. ``cores`` is the server process' CPU time over wall
time, ``delivered`` the samples that clients got over those that the wall clock makes; overflows and underflows as the
radios report them. The clients run in this process, on the same cores. attribute: median round trip of reading one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from benchmarks.parts.arguments import integer, positive_number
from benchmarks.parts.iiod_streams import PHY, Connection, Streams, configure
from radio.virtual.configuration import medium_of
from radio.virtual.control import ControlClient
from radio.virtual.control_messages import Status
from radio.virtual.engine import TICK_S, Engine
from radio.virtual.reception import ReceiveStream
from radio.virtual.settings import RadioSettings
from radio.virtual.transmission import samples_of_codes

BUFFER_SAMPLES = 1 << 15
MODELS = ("awgn", "rayleigh", "rician", "tdl-a", "tdl-b", "tdl-c")
PIECES = 200
ROUND_TRIPS = 500
Uris = dict[str, str]


class Server:
    """``airtune virtual-pluto`` as a process, with ``radios`` of which each has its own crystal error."""

    def __init__(self, radios: int, model: str) -> None:
        with TemporaryDirectory() as directory:
            medium = Path(directory) / "medium.toml"
            medium.write_text(f'[medium]\nmodel = "{model}"\nloss_db = 60.0\ncrystal_ppm = 20.0\n')
            command = [
                sys.executable,
                "-m",
                "deploy",
                "virtual-pluto",
                "--json",
                "--medium",
                str(medium),
            ]
            for index in range(radios):
                command += ["--radio", f"r{index}=127.0.0.1:0"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            ready = json.loads((self.process.stdout or sys.stdin).readline())
        self.uris: Uris = ready["radios"]
        self.control = ControlClient(ready["control"])
        self._usage = psutil.Process(self.process.pid)

    def cpu_s(self) -> float:
        """Processor time of the server so far."""
        times = self._usage.cpu_times()
        return times.user + times.system

    def close(self) -> None:
        """End it."""
        self.control.close()
        self.process.terminate()
        self.process.wait()


def paced(server: Server, senders: int, rate_hz: int, seconds: float) -> str:
    """One line of figures."""
    uris = list(server.uris.values())
    before = server.control.send(Status()).radios
    streams = Streams(uris, uris[:senders], BUFFER_SAMPLES)
    time.sleep(1.0)  # past the start
    cpu_s, received, began_s = server.cpu_s(), streams.received_samples, time.monotonic()
    time.sleep(seconds)
    wall_s = time.monotonic() - began_s
    cores = (server.cpu_s() - cpu_s) / wall_s
    delivered = (streams.received_samples - received) / (len(uris) * rate_hz * wall_s)
    streams.stop()
    after = server.control.send(Status()).radios
    over = sum(a.overflows - b.overflows for a, b in zip(after, before, strict=True))
    under = sum(a.underflows - b.underflows for a, b in zip(after, before, strict=True))
    return f"{senders} send: {cores:5.2f} cores, delivered {delivered:.4f}, overflows {over}, underflows {under}"


def medium_cores(radios: int, senders: int, rate_hz: int, model: str) -> tuple[float, float]:
    """Processor seconds per second of the medium, in this thread: least and median over pieces."""
    names = [f"r{index}" for index in range(radios)]
    engine = Engine(medium_of({"medium": {"model": model}}, names, "benchmark"), tuple(names), stepped=True)
    noise = samples_of_codes(np.random.default_rng(1).integers(-8000, 8000, (1 << 18, 2)).astype(np.int16))
    settings = RadioSettings(rate_hz, gain_mode="manual", manual_gain_db=40, transmit_lo_hz=2.4e9)
    for index, front_end in enumerate(engine.front_ends.values()):
        front_end.apply(settings, 0.0)
        engine.open_stream(front_end.name, ReceiveStream(BUFFER_SAMPLES, (0, 1), capacity=1 << 20))
        if index < senders:
            front_end.queue.open(0)
            front_end.queue.push_cyclic(noise, 0)
    costs = []
    for _ in range(PIECES):
        began_s = time.thread_time()
        engine.advance(int(TICK_S * rate_hz))
        costs.append((time.thread_time() - began_s) / TICK_S)
    return min(costs), statistics.median(costs)


def round_trip_us(uri: str) -> float:
    """Median time of reading an attribute, microseconds."""
    connection, times = Connection(uri), []
    for _ in range(ROUND_TRIPS):
        began_s = time.perf_counter()
        connection.read(f"{PHY} DEBUG", "loopback")
        times.append(time.perf_counter() - began_s)
    return 1e6 * statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radios", type=integer(1), default=3)
    parser.add_argument("--rate-msps", type=positive_number, default=2.0)
    parser.add_argument("--seconds", type=positive_number, default=10.0)
    parser.add_argument("--model", choices=MODELS, default="awgn", help="of every path (awgn)")
    arguments = parser.parse_args()
    rate_hz = round(1e6 * arguments.rate_msps)
    print(f"{arguments.radios} radios at {arguments.rate_msps:g} Msps, {arguments.model}, all receive")
    for senders in dict.fromkeys((0, 1, arguments.radios)):
        least, median = medium_cores(arguments.radios, senders, rate_hz, arguments.model)
        print(f"medium, {senders} send: {least:5.2f} cores (median {median:.2f})", flush=True)
    server = Server(arguments.radios, arguments.model)
    try:
        for uri in server.uris.values():
            configure(uri, rate_hz)
        print(f"attribute: {round_trip_us(server.uris['r0']):.0f} us")
        for senders in dict.fromkeys((0, 1, arguments.radios)):
            print("paced, " + paced(server, senders, rate_hz, arguments.seconds), flush=True)
    finally:
        server.close()


if __name__ == "__main__":
    main()
