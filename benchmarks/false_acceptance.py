"""Noise taken for data: how many blocks of pure noise pass decoder and CRC. Wanted: none.

    OMP_NUM_THREADS=1 python -m benchmarks.false_acceptance [--blocks 1000000] [--jobs 2] [MCS ...]

Soft bits are those of white noise where a burst was expected: Gaussian, at four confidences (a receiver that
estimates its own noise right, one that is over-confident, one that is timid, one that is nearly silent). Every block
goes through decoder and CRC of a fresh burst id. The number is per scheme; by default half of it falls to K = 7, four
tenths to short LDPC blocks and a tenth to the long ones, which take the decoder all its iterations.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import numpy as np

from benchmarks.parts.arguments import integer, one_of
from protocol.random_streams import random_stream
from radio.modem.block_coding import decode_blocks
from radio.modem.codec import codec_for
from radio.modem.mcs import McsTable

BATCH = 500
CONFIDENCES = (0.03, 0.3, 2.0, 20.0)
"""Standard deviations of the soft bits."""
SHARES = {"qpsk-1/2": 0.5, "qpsk-400-short": 0.4, "qpsk-449": 0.1}


def accepted_of(job: tuple[str, int, int]) -> int:
    """Blocks accepted among a batch of noise."""
    mcs, index, count = job
    scheme = McsTable.load()[mcs]
    rng = random_stream(1, "false acceptance", mcs, index)
    soft = rng.standard_normal((count, scheme.block_coded_bits), np.float32)
    soft *= np.float32(CONFIDENCES[index % len(CONFIDENCES)])
    return sum(block is not None for block in decode_blocks(scheme, codec_for(scheme).spread(soft)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mcs", nargs="*", type=one_of(McsTable.load().names), help="schemes, each given all the blocks")
    parser.add_argument("--blocks", type=integer(1), default=1_000_000)
    parser.add_argument("--jobs", type=integer(1), default=2)
    options = parser.parse_args()
    shares = dict.fromkeys(options.mcs, 1.0) or SHARES
    total = accepted = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for mcs, share in shares.items():
            began = time.monotonic()
            batches = max(round(share * options.blocks) // BATCH, 1)
            passed = sum(pool.imap_unordered(accepted_of, [(mcs, i, BATCH) for i in range(batches)]))
            total, accepted = total + batches * BATCH, accepted + passed
            print(f"{mcs:16s} {batches * BATCH:9d} noise blocks, {passed} accepted, {time.monotonic() - began:.0f} s")
    print(f"{'together':16s} {total:9d} noise blocks, {accepted} accepted (limit 0)")


if __name__ == "__main__":
    main()
