"""What combining gives: goodput of chase combining over plain ARQ where a first pass fails half its blocks.

    OMP_NUM_THREADS=1 python -m benchmarks.harq [--updates 40] [--rb 8] [--seed 1] [MCS ...]

Flat channel with white noise, the whole modem (``radio.modem.trial``). An update of ``--blocks`` blocks is sent as ARQ
does: all blocks, then the failed ones, until all have arrived; goodput counts the air time of all its bursts. Both
methods hear the same first pass. The limit of the ratio is 4/3: 2 transmissions per block on average against 1.5.
"""

from __future__ import annotations

import argparse

from benchmarks.parts.arguments import integer, one_of
from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.link_tables import LinkTables
from radio.modem import McsTable, burst_air_samples, receive
from radio.modem.combining import SoftMemory
from radio.modem.trial import Impairments, random_blocks, send
from radio.numerology import DEFAULT_2MSPS

LIMIT = 1.25
MAX_PASSES = 40


def update_air_samples(
    mcs: str, snr_db: float, blocks: int, rb_count: int, key: tuple[int, int], combine: bool
) -> tuple[int, int]:
    """Air samples until every block of an update has arrived, and how many failed in its first pass."""
    memory = SoftMemory() if combine else None
    waiting = list(range(blocks))
    first_failed = air_samples = 0
    contents: list[bytes] = []
    for pass_index in range(MAX_PASSES):
        rng = random_stream(key[0], "harq", mcs, key[1], pass_index)
        burst = DataBurst("a", int(rng.integers(2**62)), 4, rb_count, mcs, waiting)
        contents = contents or random_blocks(rng, burst)
        impairments = Impairments(snr_db=snr_db, start=float(rng.uniform(1100.0, 3000.0)))
        stream = send(rng, burst, [contents[i] for i in waiting], impairments, DEFAULT_2MSPS)
        report = receive(burst, stream, DEFAULT_2MSPS, memory)
        air_samples += burst_air_samples(burst, DEFAULT_2MSPS)
        waiting = [i for i, block in zip(waiting, report.blocks, strict=True) if block is None]
        first_failed = len(waiting) if pass_index == 0 else first_failed
        if not waiting:
            return air_samples, first_failed
    raise SystemExit(f"{mcs}: blocks still missing after {MAX_PASSES} passes at {snr_db:.2f} dB")


def print_ratio(mcs: str, options: argparse.Namespace) -> None:
    """One line of the table."""
    snr_db = LinkTables.load().required_snr_db(mcs, 0.5) + options.offset_db
    totals = {True: 0, False: 0}
    failed = 0
    for update in range(options.updates):
        for combine in totals:
            key = (options.seed, update)
            samples, first = update_air_samples(mcs, snr_db, options.blocks, options.rb, key, combine)
            totals[combine] += samples
        failed += first
    payload_bits = 8 * McsTable.load()[mcs].block_bytes * options.blocks * options.updates
    goodput = {c: payload_bits / n * DEFAULT_2MSPS.sample_rate_hz for c, n in totals.items()}
    share = failed / (options.blocks * options.updates)
    print(
        f"{mcs:14s} {snr_db:6.2f} dB   first pass fails {share:4.2f}   plain ARQ {goodput[False] / 1e3:8.1f} kbit/s   "
        f"combining {goodput[True] / 1e3:8.1f} kbit/s   ratio {goodput[True] / goodput[False]:.3f} (wanted {LIMIT})",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = LinkTables.load().mcs_names
    parser.add_argument("mcs", nargs="*", type=one_of(names), help="schemes (default: one per modulation and codec)")
    parser.add_argument("--updates", type=integer(1), default=40)
    parser.add_argument("--blocks", type=integer(1), default=8, help="blocks per update")
    parser.add_argument("--rb", type=integer(1, 28), default=8, help="resource blocks of the grant")
    parser.add_argument("--offset-db", type=float, default=0.0, help="added to the table's 50 %% point")
    parser.add_argument("--seed", type=integer(0), default=1)
    options = parser.parse_args()
    for mcs in options.mcs or _one_per_modulation():
        print_ratio(mcs, options)


def _one_per_modulation() -> list[str]:
    measured = set(LinkTables.load().mcs_names)
    middle = {}
    for scheme in McsTable.load().schemes:
        if scheme.name in measured and scheme.codec != "ldpc-short" and scheme.code_rate <= 0.75:
            middle[scheme.codec, scheme.bits_per_symbol] = scheme.name
    return list(middle.values())


if __name__ == "__main__":
    main()
