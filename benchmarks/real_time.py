"""Real time: CPU seconds of receiver and transmitter per second on the air, beside four stock GNU Radio modems.

    OMP_NUM_THREADS=1 python -m benchmarks.real_time [--codec ldpc] [--mcs NAME ...] [--rate-msps 4] [--no-stock]
    OMP_NUM_THREADS=1 python -m benchmarks.real_time --paced 20 [--mcs NAME]

The band is full: 4 grants of 6 RBs with guards at 2 Msps, of 13 at 4 Msps, a burst of the greatest length in each,
white noise, at the SNR where the MCS loses 10 % of its blocks (bisected here; printed with the loss of the measured
window). Times are process CPU time, best of ``--repeats``, over the burst's air time: 1.00 is one core at 100 % duty.

stock: filters and ``digital.ofdm_rx`` for the same grants on the same samples, the whole flowgraph. It finds no packets
of its own there and so only synchronises; ``stock, own`` is its time on packets of stock transmitters (QPSK, uncoded,
30 dB) in the same grants. x: stock over ours. The transmitter's peer is ``digital.ofdm_tx`` with our filters.

--paced runs the real receiver processes on samples that come at the real rate into a bounded buffer, and counts
overruns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np

from benchmarks.parts import stock_ofdm
from benchmarks.parts.arguments import integer, positive_number
from benchmarks.parts.full_band import (
    FullBand,
    full_band,
    receive_all,
    spectral_efficiency,
    threshold_db,
    transmit_all,
)
from benchmarks.parts.paced_receiver import run_paced
from benchmarks.parts.stage_clock import timed_stages
from protocol.configuration import CodecName
from radio.modem import MCS_NAMES, McsTable
from radio.modem.trial import white_noise
from radio.numerology import DEFAULT_2MSPS, WIDE_4MSPS, Numerology

RECEIVER_STAGES = {
    "benchmarks.parts.full_band.receive_branches": "flowgraph",
    "benchmarks.parts.full_band.spectrum_db": "flowgraph",
    "radio.modem.receiver.training_grid": "detect",
    "radio.modem.receiver.detect": "detect",
    "radio.modem.observation.demodulate_grid": "OFDM",
    "radio.modem.receiver.observe_data": "track",
    "radio.modem.receiver.block_soft_bits": "demap",
    "radio.modem.receiver.soft_bit_histogram": "demap",
    "radio.modem.combining.decode_blocks": "decode",
    "benchmarks.parts.full_band.receive": "rest",
}
TRANSMITTER_STAGES = {
    "radio.modem.transmitter.encode_blocks": "encode",
    "benchmarks.parts.full_band.modulate": "modulate",
    "benchmarks.parts.full_band.transmit_samples": "flowgraph",
}
STOCK_SNR_DB = 30.0
STOCK_SAMPLES = 2**18


Stages = dict[str, float]


def best_stages(functions: dict[str, str], work: Callable[[], object], repeats: int) -> Stages:
    """CPU seconds by stage of the fastest of ``repeats`` calls."""
    runs = []
    for _ in range(repeats):
        with timed_stages(functions) as clock, clock.stage("other"):
            work()
        runs.append(clock.seconds)
    return min(runs, key=lambda seconds: sum(seconds.values()))


def limit_cores(mcs: str, numerology: Numerology) -> float | None:
    """Cores that may be busy at 100 % duty; None: no limit set."""
    bits = spectral_efficiency(mcs)
    up_to_16qam_half = bits <= 2.05
    if numerology is WIDE_4MSPS:
        return 2.0 if up_to_16qam_half else None
    convolutional = McsTable.load()[mcs].codec == "convolutional"
    return 1.0 if up_to_16qam_half or (convolutional and bits <= 3.0) else 2.0


def print_row(title: str, stages: list[str], times: Stages, air_s: float, rest: str) -> None:
    """One line: CPU seconds per second on the air, by stage and in all."""
    columns = "".join(f"{times.get(stage, 0.0) / air_s:10.3f}" for stage in stages)
    print(f"{title}{columns}{sum(times.values()) / air_s:10.3f}   {rest}", flush=True)


def print_receivers(bands: list[FullBand], options: argparse.Namespace) -> None:
    """The receivers' table."""
    stages = [*dict.fromkeys(RECEIVER_STAGES.values()), "other"]
    heads = "".join(f"{stage:>10s}" for stage in [*stages, "total"])
    peers = "" if options.no_stock else "     stock      x  stock, own      x"
    own = None if options.no_stock else StockPackets(bands[0])
    print(f"\nreceiver               SNR dB  lost{heads}    limit{peers}")
    for band in bands:
        mcs = band.bursts[0].mcs
        snr_db = threshold_db(band)
        samples = band.noisy(snr_db, seed=99)
        lost = band.lost_blocks(receive_all(band, samples))
        times = best_stages(RECEIVER_STAGES, lambda s=samples, b=band: receive_all(b, s), options.repeats)
        cores = sum(times.values()) / band.air_s
        limit = limit_cores(mcs, band.numerology)
        verdict = "    -     " if limit is None else f"{limit:4.0f} {'ok  ' if cores <= limit else 'OVER'} "
        if own is not None:
            stock = stock_cores(lambda s=samples, b=band: stock_ofdm.receive(b.bursts, s, b.numerology), band.air_s)
            for peer, width in ((stock, 9), (own.cores(), 11)):
                verdict += f"{peer:{width}.2f} {peer / cores:6.1f} "
        print_row(f"{mcs:20s} {snr_db:7.2f} {lost:5.2f}", stages, times, band.air_s, verdict)


def print_transmitters(bands: list[FullBand], options: argparse.Namespace) -> None:
    """The transmitters' table."""
    stages = [*dict.fromkeys(TRANSMITTER_STAGES.values()), "other"]
    heads = "".join(f"{stage:>10s}" for stage in [*stages, "total"])
    print(f"\ntransmitters        {heads}       stock      x")
    for band in bands:
        times = best_stages(TRANSMITTER_STAGES, lambda b=band: transmit_all(b), options.repeats)
        peer = ""
        if not options.no_stock:
            n_samples = round(band.air_s * band.numerology.sample_rate_hz)
            work = partial(stock_ofdm.transmit, band.bursts, n_samples, band.numerology, 1)
            stock = stock_cores(work, band.air_s)
            peer = f"{stock:9.2f} {stock * band.air_s / sum(times.values()):6.1f}"
        print_row(f"{band.bursts[0].mcs:20s}", stages, times, band.air_s, peer)


class StockPackets:
    """Packets of stock transmitters in the grants of a window, and what stock receivers take for them."""

    def __init__(self, band: FullBand) -> None:
        sent = stock_ofdm.transmit(band.bursts, STOCK_SAMPLES, band.numerology, 1)
        power = float(np.mean(np.abs(sent) ** 2)) * 10.0 ** (-STOCK_SNR_DB / 10.0)
        samples = sent + white_noise(np.random.default_rng(1), len(sent), power)
        self._receive = partial(stock_ofdm.receive, band.bursts, samples, band.numerology)
        self._air_s = STOCK_SAMPLES / band.numerology.sample_rate_hz
        packets = stock_ofdm.packets_sent(band.bursts, STOCK_SAMPLES, band.numerology)
        print(f"stock receivers find {self._receive()} of {packets} packets of stock transmitters")

    def cores(self) -> float:
        """CPU seconds per second on the air."""
        return stock_cores(self._receive, self._air_s)


def stock_cores(work: Callable[[], object], air_s: float) -> float:
    """CPU seconds of a stock flowgraph per second on the air, best of three."""
    return min(sum(best_stages({}, work, 1).values()) for _ in range(3)) / air_s


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", choices=get_args(CodecName), action="append", help="of these codecs (default: all)")
    parser.add_argument("--mcs", nargs="+", choices=MCS_NAMES, metavar="NAME", help="these schemes only")
    parser.add_argument("--rate-msps", type=float, choices=[2.0, 4.0], default=2.0)
    parser.add_argument("--repeats", type=integer(1), default=5)
    parser.add_argument("--no-stock", action="store_true", help="without the stock modems")
    parser.add_argument("--paced", type=positive_number, metavar="SECONDS", help="overruns over this time on the air")
    options = parser.parse_args()
    numerology = WIDE_4MSPS if options.rate_msps == 4.0 else DEFAULT_2MSPS
    schemes = [s.name for s in McsTable.load().schemes if options.codec is None or s.codec in options.codec]
    names = options.mcs or schemes
    bands = [full_band(mcs, numerology) for mcs in names]
    if options.paced:
        for band in bands:
            run_paced(band, threshold_db(band), options.paced)
        return
    print_receivers(bands, options)
    print_transmitters(bands, options)


if __name__ == "__main__":
    main()
