"""The base station's receiver processes fed at the real rate, from a bounded buffer whose overruns are counted."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from itertools import cycle, islice

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.parts.full_band import FullBand
from protocol.bursts import Window
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from radio.drivers.receiving import DECODERS
from radio.processes.children import Child
from radio.processes.link import Link
from radio.processes.messages import BurstDecoded, ExpectWindow, Start, WindowSamples

CHUNK_SAMPLES = 8192
BUFFER_S = 0.5
NOISY_WINDOWS = 3


class SampleBuffer:
    """Samples between a radio that does not wait and a receiver that takes its time; for one thread at either end."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._chunks: deque[tuple[NDArray[np.complex64], bool]] = deque()
        self._changed = threading.Condition()
        self.overruns = 0
        """Chunks for which there was no room; the receiver gets zeros for them."""
        self.fullest = 0

    def put(self, chunk: NDArray[np.complex64]) -> None:
        """Append ``chunk``, or count an overrun; never waits."""
        with self._changed:
            fits = self._held + len(chunk) <= self._capacity
            self.overruns += not fits
            self._held += len(chunk) if fits else 0
            self.fullest = max(self.fullest, self._held)
            self._chunks.append((chunk if fits else np.zeros_like(chunk), fits))
            self._changed.notify()

    def take(self) -> NDArray[np.complex64]:
        """The oldest chunk; waits for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks)
            chunk, held = self._chunks.popleft()
            self._held -= len(chunk) if held else 0
            return chunk


class Receiver:
    """Receiver and decoder processes of a base station; this process is their medium."""

    def __init__(self, experiment: Experiment) -> None:
        ours, theirs = socket.socketpair()
        pairs = [socket.socketpair() for _ in range(DECODERS)]
        start = Start(experiment)
        self.receiver = Child("receiver", "receiver", start, (theirs, *(out for out, _ in pairs)))
        self.decoders = [Child("decoder", f"decoder {i}", start, (into,)) for i, (_, into) in enumerate(pairs)]
        for end in (theirs, *(end for pair in pairs for end in pair)):
            end.close()
        self.medium = Link(ours)
        self.children = [self.receiver, *self.decoders]
        for child in self.children:
            child.wait_started()

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, user and system, by process."""
        times = {child.name: psutil.Process(child.process.pid).cpu_times() for child in self.children}
        return {name: t.user + t.system for name, t in times.items()}

    def close(self) -> None:
        """End all processes."""
        for child in self.children:
            child.close()


def run_paced(band: FullBand, snr_db: float, seconds: float) -> None:
    """Feed ``band`` over and over at its own rate; print overruns, lost blocks, lag and CPU time."""
    window_s = len(band.clean) / band.numerology.sample_rate_hz
    n_windows = max(2, round(seconds / window_s))
    receiver = Receiver(_experiment(band))
    buffer = SampleBuffer(int(BUFFER_S * band.numerology.sample_rate_hz))
    streams = [band.noisy(snr_db, seed) for seed in range(NOISY_WINDOWS)]
    try:
        _play(receiver, band, streams[:1], 1, SampleBuffer(2 * len(band.clean)))  # compiled code and codecs are loaded
        before = receiver.cpu_s()
        lost, lag_s = _play(receiver, band, streams, n_windows, buffer)
        busy = {name: (s - before[name]) / (n_windows * window_s) for name, s in receiver.cpu_s().items()}
    finally:
        receiver.close()
    print(
        f"{band.bursts[0].mcs} at {snr_db:.1f} dB: {n_windows} windows of {1e3 * window_s:.0f} ms at "
        f"{band.numerology.sample_rate_hz / 1e6:g} Msps, {len(band.bursts)} bursts each, "
        f"duty {band.air_s / window_s:.2f}\n"
        f"  overruns {buffer.overruns} of {n_windows * -(-len(band.clean) // CHUNK_SAMPLES)} chunks, buffer at most "
        f"{buffer.fullest / band.numerology.sample_rate_hz:.2f} of {BUFFER_S} s, blocks lost {lost:.3f}\n"
        f"  last report after the window's end: mean {np.mean(lag_s):.2f} s, at most {np.max(lag_s):.2f} s\n"
        f"  cores busy: {sum(busy.values()):.2f} (" + ", ".join(f"{name} {b:.2f}" for name, b in busy.items()) + ")",
        flush=True,
    )


def _play(
    receiver: Receiver, band: FullBand, streams: list[NDArray[np.complex64]], n_windows: int, buffer: SampleBuffer
) -> tuple[float, list[float]]:
    """Play ``n_windows`` windows; returns the share of lost blocks and each window's lag, s."""
    rate_hz = band.numerology.sample_rate_hz
    began = time.monotonic()
    air = threading.Thread(target=_air, args=(buffer, list(islice(cycle(streams), n_windows)), began, rate_hz))
    feed = threading.Thread(target=_feed, args=(receiver, band, n_windows, buffer), daemon=True)
    air.start()
    feed.start()
    missing = {index: len(band.bursts) for index in range(n_windows)}
    lost, lag_s = 0.0, []
    with selectors.DefaultSelector() as selector:
        for child in receiver.children:
            selector.register(child.link, selectors.EVENT_READ, child)
        order: dict[str, int] = {}
        while missing:
            for key, _ in selector.select():
                message = key.data.receive()
                if not isinstance(message, BurstDecoded):
                    continue
                client = message.report.client
                window = order[client] = order.get(client, -1) + 1
                lost += band.lost_blocks_of(message.position, message.report) / len(band.bursts) / n_windows
                missing[window] -= 1
                if not missing[window]:
                    del missing[window]
                    lag_s.append(time.monotonic() - began - (window + 1) * len(band.clean) / rate_hz)
    air.join()
    feed.join()
    return lost, lag_s


def _air(buffer: SampleBuffer, windows: list[NDArray[np.complex64]], began: float, rate_hz: float) -> None:
    sent = 0
    for samples in windows:
        for first in range(0, len(samples), CHUNK_SAMPLES):
            chunk = samples[first : first + CHUNK_SAMPLES]
            sent += len(chunk)
            time.sleep(max(0.0, began + sent / rate_hz - time.monotonic()))
            buffer.put(chunk)


def _feed(receiver: Receiver, band: FullBand, n_windows: int, buffer: SampleBuffer) -> None:
    chunks_per_window = -(-len(band.clean) // CHUNK_SAMPLES)
    for index in range(n_windows):
        window = Window("paced", index, 0, "data", len(band.clean))
        samples = np.concatenate([buffer.take() for _ in range(chunks_per_window)])
        receiver.receiver.send(ExpectWindow(window, list(band.bursts)))
        receiver.medium.send(WindowSamples(window), samples)


def _experiment(band: FullBand) -> Experiment:
    members = [{"name": burst.client, "mean_snr_db": 20.0} for burst in band.bursts]
    return experiment_from_dict(
        {
            "experiment": {"name": "paced", "seed": 1},
            "radio": {"driver": "simulated", "sample_rate_hz": band.numerology.sample_rate_hz},
            "channel": {"model": "awgn"},
            "clients": {"members": members},
        },
        "paced",
    )
