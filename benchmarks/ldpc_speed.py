"""Codecs by themselves on AWGN: SNR at a tenth of the blocks lost, and speed there.

    OMP_NUM_THREADS=1 python -m benchmarks.ldpc_speed [--codec ldpc] [--every 1] [--blocks 200]

No synchronisation, no channel estimate: symbols, Gaussian noise, max-log soft bits. Lost: not converged, or wrong.
Mbit/s are information bits per second of process CPU time; the K = 7 Viterbi decoder of gr-fec (VOLK) is
measured in the same run. `gap` is to the Shannon limit of the efficiency, shaping included; `step` to the scheme
before.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.arguments import integer
from protocol.random_streams import random_stream
from radio.modem import Mcs, McsTable
from radio.modem.codec import codec_for
from radio.modem.constellations import Constellation
from radio.modem.ldpc import decoder
from radio.modem.ldpc.codec import LdpcCodec
from radio.modem.scrambling import interleaver

LOST = 0.1
COARSE_DB, FINE_DB = 0.4, 0.1
BATCH = 32


class Trial(NamedTuple):
    """Some blocks at one SNR."""

    lost: float
    encode_bps: float
    decode_bps: float
    iterations: float
    """Mean; nan for the convolutional code."""


def trial(mcs: Mcs, snr_db: float, blocks: int) -> Trial:
    """Send ``blocks`` random blocks."""
    codec, rng = codec_for(mcs), random_stream(1, "codec speed", mcs.name, round(100 * snr_db))
    lost, encode_s, decode_s, iterations = 0, 0.0, 0.0, []
    for begin in range(0, blocks, BATCH):
        info = rng.integers(0, 2, (min(BATCH, blocks - begin), codec.info_bits), dtype=np.uint8)
        began = time.process_time()
        coded = codec.encode(info)
        encode_s += time.process_time() - began
        mother = codec.spread(soft_bits(coded, mcs, snr_db, rng))
        began = time.process_time()
        found = codec.decode(mother)
        decode_s += time.process_time() - began
        lost += int(np.sum(~found.converged | np.any(found.info != info, axis=1)))
        if isinstance(codec, LdpcCodec):
            iterations.append(decoder.decode(codec.graph, mother, codec.info_bits).iterations.mean())
    bits = blocks * codec.info_bits
    return Trial(lost / blocks, bits / encode_s, bits / decode_s, float(np.mean(iterations or [math.nan])))


def soft_bits(coded: NDArray[np.uint8], mcs: Mcs, snr_db: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Soft bits of ``coded`` bits, one block a row, after AWGN; interleaved and mapped as in bursts."""
    constellation = Constellation.of(mcs.bits_per_symbol)
    places = interleaver(1, coded.shape[1], 1 if mcs.codec == "convolutional" else mcs.bits_per_symbol)
    stream = np.zeros(-(-coded.size // mcs.bits_per_symbol) * mcs.bits_per_symbol, np.uint8)
    stream[: coded.size] = coded[:, places].ravel()
    points = constellation.points(stream)
    noise = rng.standard_normal((len(points), 2), np.float32) @ np.array([1, 1j], np.complex64)
    snr = 10 ** (snr_db / 10)
    received = (points + noise * np.float32(math.sqrt(0.5 / snr))).astype(np.complex64)
    on_air = constellation.soft_bits(received, np.full(len(points), snr, np.float32)).ravel()
    soft = np.empty(coded.shape, np.float32)
    soft[:, places] = on_air[: coded.size].reshape(coded.shape)
    return soft


def point(mcs: Mcs, blocks: int) -> tuple[float, Trial]:
    """SNR at which a tenth of the blocks is lost, between two trials ``FINE_DB`` apart, and the upper trial."""
    snr_db = shannon_db(mcs) + 1.5
    while trial(mcs, snr_db, BATCH).lost < LOST:
        snr_db -= COARSE_DB
    while trial(mcs, snr_db, BATCH).lost >= LOST:
        snr_db += COARSE_DB
    snr_db -= COARSE_DB
    before, after = trial(mcs, snr_db, blocks), trial(mcs, snr_db + FINE_DB, blocks)
    while after.lost >= LOST:
        snr_db += FINE_DB
        before, after = after, trial(mcs, snr_db + FINE_DB, blocks)
    low, high = (math.log(max(t.lost, 0.5 / blocks)) for t in (before, after))
    share = (low - math.log(LOST)) / (low - high) if low > high else 0.0
    return snr_db + FINE_DB * min(max(share, 0.0), 1.0), after


def shannon_db(mcs: Mcs) -> float:
    """SNR at which the capacity is the efficiency of ``mcs``."""
    return 10 * math.log10(2 ** (mcs.bits_per_symbol * mcs.code_rate) - 1)


def print_table(schemes: tuple[Mcs, ...], blocks: int) -> None:
    """One line a scheme."""
    previous = math.nan
    for mcs in schemes:
        snr_db, there = point(mcs, blocks)
        print(
            f"{mcs.name:16s} {mcs.bits_per_symbol * mcs.code_rate:7.3f} {snr_db:7.2f} {snr_db - previous:6.2f} "
            f"{snr_db - shannon_db(mcs):6.2f} {there.iterations:8.1f} {there.decode_bps / 1e6:9.1f} "
            f"{there.encode_bps / 1e6:8.1f}",
            flush=True,
        )
        previous = snr_db


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", choices=("ldpc", "ldpc-short"), action="append", help="default: both")
    parser.add_argument("--every", type=integer(1), default=1, help="only every n-th scheme of a ladder")
    parser.add_argument("--blocks", type=integer(1), default=200, help="blocks per SNR")
    options = parser.parse_args()
    print("MCS                bit/s   dB at   step    gap   itera-   decoder  encoder")
    print("                   /Hz     10 %     dB     dB    tions    Mbit/s   Mbit/s")
    for codec in (*(options.codec or ("ldpc", "ldpc-short")), "convolutional"):
        print_table(McsTable.load().of(codec)[:: options.every], options.blocks)


if __name__ == "__main__":
    main()
