"""A decoder of the base station: finds and demodulates one burst at a time."""

from __future__ import annotations

import time
from pathlib import Path

from radio.limits import experiment_numerology
from radio.processes.lifetime import run_child
from radio.processes.link import Link
from radio.processes.messages import BurstDecoded, DecodeBurst, Start, Started
from radio.recordings import FailedBursts


def main() -> None:
    """Entry of ``python -m radio.processes.decoder``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    import gnuradio.fec  # noqa: F401  (a missing GNU Radio shows now)

    from radio.modem import receive
    from radio.modem.combining import SoftMemory

    numerology = experiment_numerology(start.experiment)
    (receiver,) = peers
    combining, memory = start.experiment.radio.harq == "chase", SoftMemory()
    keeps_failed = start.iq_directory and start.experiment.radio.keep_failed_iq
    failed = FailedBursts(Path(start.iq_directory), start.experiment) if keeps_failed else None
    parent.send(Started())
    while True:
        job, samples = receiver.expect(DecodeBurst)
        began = time.perf_counter()
        memory.begin(job.window.round_index)
        report = receive(job.burst, samples, numerology, memory if combining else None)
        decode_s = time.perf_counter() - began
        warning = failed.keep(job.window, job.burst, report, samples) if failed is not None else ""
        parent.send(BurstDecoded(job.position, report, decode_s, warning))


if __name__ == "__main__":
    main()
