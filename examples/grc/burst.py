"""A burst as a file for the flowgraphs here, and what a branch they received holds of it.

example: python burst.py make --rb-start 4 --rb-count 7 --mcs qpsk-1/2
         python burst.py decode branch-a.cf32
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from protocol.bursts import DataBurst
from protocol.errors import AirtuneError
from protocol.random_streams import random_stream
from radio.flowgraphs.filters import receive_taps
from radio.modem import McsTable, burst_decimation, modulate, receive
from radio.numerology import DEFAULT_2MSPS

SILENCE = 2048
"""Zeros before and behind the burst, full-rate samples: room for the filters' tails."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make or decode; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path(), help="where burst.cf32, burst.json and taps.f32 are (.)")
    actions = parser.add_subparsers(dest="action", required=True)
    make = actions.add_parser("make", help="write burst.cf32, its grant burst.json and the filter taps.f32")
    make.add_argument("--rb-start", type=int, default=4)
    make.add_argument("--rb-count", type=int, default=7)
    make.add_argument("--mcs", default="qpsk-1/2")
    make.add_argument("--blocks", type=int, default=8)
    decode = actions.add_parser("decode", help="look for the burst in a branch")
    decode.add_argument("branch", type=Path, help="complex64 samples of the receiver's branch")
    args = parser.parse_args(argv)
    try:
        if args.action == "make":
            _make(args.dir, DataBurst("example", 1, args.rb_start, args.rb_count, args.mcs, list(range(args.blocks))))
        else:
            _decode(args.dir, args.branch)
    except (AirtuneError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _make(directory: Path, burst: DataBurst) -> None:
    rng = random_stream(burst.burst_id, "example blocks")
    blocks = [rng.bytes(McsTable.load()[burst.mcs].block_bytes) for _ in burst.block_ids]
    silence = np.zeros(SILENCE // burst_decimation(burst, DEFAULT_2MSPS), np.complex64)
    samples = np.concatenate([silence, modulate(burst, blocks, DEFAULT_2MSPS), silence])
    directory.mkdir(parents=True, exist_ok=True)
    samples.astype("<c8").tofile(directory / "burst.cf32")
    receive_taps(DEFAULT_2MSPS, burst).astype("<f4").tofile(directory / "taps.f32")
    (directory / "burst.json").write_bytes(msgspec.json.encode(burst))
    print(f"{directory / 'burst.cf32'}: {len(samples)} samples; grant of {burst.rb_count} RBs from RB {burst.rb_start}")


def _decode(directory: Path, branch: Path) -> None:
    burst = msgspec.json.decode((directory / "burst.json").read_bytes(), type=DataBurst)
    report = receive(burst, np.fromfile(branch, np.complex64), DEFAULT_2MSPS)
    if not report.detected:
        print(f"{branch}: no burst")
        return
    received = sum(block is not None for block in report.blocks)
    print(f"{branch}: {received} of {len(report.blocks)} blocks received, EVM {report.evm_db:.1f} dB")


if __name__ == "__main__":
    sys.exit(main())
