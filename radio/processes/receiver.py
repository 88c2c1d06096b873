"""The base station's receiver: one flowgraph run per window, one branch per burst to the decoders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from protocol.bursts import Burst, DataBurst
from protocol.errors import AirtuneError
from radio.limits import experiment_numerology
from radio.modem import measure_silence, spectrum_db
from radio.processes.lifetime import run_child, start_failed
from radio.processes.link import Link
from radio.processes.live_spectrum import LiveSpectrum
from radio.processes.messages import DecodeBurst, ExpectWindow, ReceiverDone, Start, Started, WindowSamples
from radio.window_recordings import WindowRecorder


def main() -> None:
    """Entry of ``python -m radio.processes.receiver``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    from radio.flowgraphs.receive import receive_branches

    numerology = experiment_numerology(start.experiment)
    source, *decoders = peers
    sharing = Sharing(len(decoders))
    address = start.experiment.radio.spectrum_address
    try:
        live = LiveSpectrum(address) if address is not None else None
    except AirtuneError as error:
        parent.send(start_failed(error))
        return
    records = start.iq_directory and start.experiment.radio.record_iq
    recorder = WindowRecorder(Path(start.iq_directory), start.experiment) if records else None
    parent.send(Started())
    while True:
        expected, _ = parent.expect(ExpectWindow)
        _window, samples = source.expect(WindowSamples)
        began = time.perf_counter()
        branches = receive_branches(expected.bursts, samples, numerology)
        flowgraph_s = time.perf_counter() - began
        for position, decoder in sharing.share(expected.window.round_index, expected.bursts):
            job = DecodeBurst(expected.window, position, expected.bursts[position])
            decoders[decoder].send(job, branches[position])
        if live is not None:
            live.publish(samples)
        if expected.window.kind == "silent":
            noise_db, psd_db = measure_silence(samples, numerology)
        else:
            noise_db, psd_db = [], spectrum_db(samples)
        warning = recorder.record(expected.window, expected.bursts, samples) if recorder is not None else ""
        parent.send(ReceiverDone(psd_db, flowgraph_s, noise_db, warning))


class Sharing:
    """Which decoder gets which burst. A client's data bursts of a round stay with one: it keeps their soft bits."""

    def __init__(self, decoders: int) -> None:
        self._decoders = decoders
        self._round_index = -1
        self._homes: dict[str, int] = {}

    def share(self, round_index: int, bursts: Sequence[Burst]) -> list[tuple[int, int]]:
        """Pairs (burst, decoder) in the order to hand out: the longest first, the free ones to where least is to do."""
        if round_index != self._round_index:
            self._round_index, self._homes = round_index, {}
        load = [0] * self._decoders
        for burst in bursts:
            if burst.client in self._homes:
                load[self._homes[burst.client]] += _work_of(burst)
        pairs = []
        for position in sorted(range(len(bursts)), key=lambda p: -_work_of(bursts[p])):
            burst = bursts[position]
            decoder = self._homes.get(burst.client)
            if decoder is None:
                decoder = load.index(min(load))
                load[decoder] += _work_of(burst)
            if isinstance(burst, DataBurst):
                self._homes[burst.client] = decoder
            pairs.append((position, decoder))
        return pairs


def _work_of(burst: Burst) -> int:
    return len(burst.block_ids) + 1 if isinstance(burst, DataBurst) else 1


if __name__ == "__main__":
    main()
