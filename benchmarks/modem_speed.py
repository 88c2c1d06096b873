"""Speed of the modem: Msps per core (full-rate samples) per MCS, transmitting and receiving.

    OMP_NUM_THREADS=1 python benchmarks/modem_speed.py [--rb 7] [--repeats 3]

One longest burst per MCS, 10 dB above its 5 % threshold; the search range is that of 2,048 samples of
jitter. Times are process CPU time, best of the repeats. 2.0 Msps is real time for the default numerology.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.link_tables import LinkTables
from radio.modem import MCS_NAMES, burst_air_samples, max_blocks, modulate, receive
from radio.modem.trial import Impairments, random_blocks, send
from radio.numerology import DEFAULT_2MSPS


def best_cpu_s(work: Callable[[], object], repeats: int) -> float:
    """Least CPU seconds of ``repeats`` calls."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def print_speed(mcs: str, rb_count: int, repeats: int) -> None:
    """One line of the table."""
    burst = DataBurst(
        client="bench",
        burst_id=1,
        rb_start=0,
        rb_count=rb_count,
        mcs=mcs,
        block_ids=list(range(max_blocks(0, rb_count, mcs, DEFAULT_2MSPS))),
    )
    rng = random_stream(1, "modem speed", mcs)
    blocks = random_blocks(rng, burst)
    impairments = Impairments(snr_db=LinkTables.load().required_snr_db(mcs, 0.05) + 10.0, tail=3072)
    stream = send(rng, burst, blocks, impairments, DEFAULT_2MSPS)
    arrived = sum(block is not None for block in receive(burst, stream, DEFAULT_2MSPS).blocks)
    samples = burst_air_samples(burst, DEFAULT_2MSPS)
    transmit_s = best_cpu_s(lambda: modulate(burst, blocks, DEFAULT_2MSPS), repeats)
    receive_s = best_cpu_s(lambda: receive(burst, stream, DEFAULT_2MSPS), repeats)
    print(
        f"{mcs:10s} {samples:8d} samples {arrived:4d}/{len(blocks):<4d} blocks   "
        f"TX {1e3 * transmit_s:6.1f} ms {samples / transmit_s / 1e6:7.1f} Msps   "
        f"RX {1e3 * receive_s:6.1f} ms {samples / receive_s / 1e6:7.1f} Msps"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rb", type=int, default=7, help="resource blocks of the grant")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for mcs in MCS_NAMES:
        print_speed(mcs, options.rb, options.repeats)


if __name__ == "__main__":
    main()
