"""A decoder of the base station: finds and demodulates one burst at a time."""

from __future__ import annotations

import time

from radio.limits import experiment_numerology
from radio.processes.lifetime import run_child
from radio.processes.link import Link
from radio.processes.messages import BurstDecoded, DecodeBurst, Start, Started


def main() -> None:
    """Entry of ``python -m radio.processes.decoder``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    import gnuradio.fec  # noqa: F401  (a missing GNU Radio shows now)

    from radio.modem import receive

    numerology = experiment_numerology(start.experiment)
    (receiver,) = peers
    parent.send(Started())
    while True:
        job, samples = receiver.expect(DecodeBurst)
        began = time.perf_counter()
        report = receive(job.burst, samples, numerology)
        parent.send(BurstDecoded(job.position, report, time.perf_counter() - began))


if __name__ == "__main__":
    main()
