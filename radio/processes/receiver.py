"""The base station's receiver: one flowgraph run per window, one branch per burst to the decoders."""

from __future__ import annotations

import time
from collections.abc import Sequence

from protocol.bursts import Burst, DataBurst
from radio.limits import experiment_numerology
from radio.modem import measure_silence, spectrum_db
from radio.processes.lifetime import run_child
from radio.processes.link import Link
from radio.processes.messages import DecodeBurst, ExpectWindow, ReceiverDone, Start, Started, WindowSamples


def main() -> None:
    """Entry of ``python -m radio.processes.receiver``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    from radio.flowgraphs.receive import receive_branches

    numerology = experiment_numerology(start.experiment)
    ether, *decoders = peers
    parent.send(Started())
    while True:
        expected, _ = parent.expect(ExpectWindow)
        _window, samples = ether.expect(WindowSamples)
        began = time.perf_counter()
        branches = receive_branches(expected.bursts, samples, numerology, start.experiment.radio.guard_rb)
        flowgraph_s = time.perf_counter() - began
        for position, decoder in share(expected.bursts, len(decoders)):
            decoders[decoder].send(DecodeBurst(position, expected.bursts[position]), branches[position])
        if expected.window.kind == "silent":
            noise_db, psd_db = measure_silence(samples, numerology)
        else:
            noise_db, psd_db = [], spectrum_db(samples)
        parent.send(ReceiverDone(psd_db, flowgraph_s, noise_db))


def share(bursts: Sequence[Burst], decoders: int) -> list[tuple[int, int]]:
    """Pairs (burst, decoder) in the order to hand out: the longest first, each to the one with the least to do."""
    load = [0] * decoders
    pairs = []
    for position in sorted(range(len(bursts)), key=lambda p: -_work_of(bursts[p])):
        decoder = load.index(min(load))
        load[decoder] += _work_of(bursts[position])
        pairs.append((position, decoder))
    return pairs


def _work_of(burst: Burst) -> int:
    return len(burst.block_ids) + 1 if isinstance(burst, DataBurst) else 1


if __name__ == "__main__":
    main()
