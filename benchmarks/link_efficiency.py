"""How much of the channel's capacity the link delivers, and where the rest goes.

AWGN, bursts of about 100 kbit over 16 RBs, NR LDPC, MCS by the shipped link tables (made with another seed) for an
expected burst error rate of 0.05: efficiency at every dB beside the limit of 0.60, beside K = 7 over the same
bursts, and beside GNU Radio's own OFDM modem. Then the loss budget of each point: factors whose product is the
efficiency. Those that come from a code's threshold are measured here: the same coding and constellation over a
channel that is known perfectly, at 10 % block error rate.

    guard      granted RBs of granted RBs and one guard
    prefix     symbol without cyclic prefix
    carrier    the carrier's three subcarriers, whose power the others have
    training   data symbols of all symbols
    pilots     data elements of the elements of data symbols
    padding    coded bits of the bits that fit the last symbol
    framing    update bits of a block's CRC, fragment header and payload
    step       capacity at the scheme's threshold over capacity at this SNR
    receiver   capacity at the threshold with a perfectly known channel over that of the whole receiver
    shaping    mutual information of the constellation, bits apart, over capacity
    code       information bits over mutual information
    errors     blocks that arrived

Run: python -m benchmarks.link_efficiency [--bursts 200] [--jobs 2] [--seed 2] [--tables FILE]
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.parts.arguments import integer
from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.modem.block_coding import block_soft_bits, decode_blocks, encode_blocks
from radio.modem.layout import burst_layout
from radio.modem.mcs import BLOCK_FORMATS, McsTable
from radio.modem.trial import random_blocks
from radio.rates import mutual_information
from radio.simulation.mcs_choice import block_error_target
from radio.simulation.results import PointResult, block_payload_bits
from radio.simulation.scenario import AUTO, NUMEROLOGY, Point, Scenario
from radio.simulation.stock_modem import load_stock_modem
from radio.simulation.sweep import sweep
from radio.simulation.workers import Workers, default_jobs

LIMIT = 0.60
AIM = 0.70
MOST_BURST_ERRORS = 0.1
SNR_DB = range(5, 26)
THRESHOLD_RATE = 0.1
THRESHOLD_BLOCKS = 240
OFFSETS_DB = (-0.8, -0.6, -0.4, -0.2, 0.0)
"""Below the whole receiver's threshold: where the code alone is looked for."""


def capacity(snr_db: float) -> float:
    """log2(1 + SNR), bit/s/Hz."""
    return math.log2(1.0 + 10.0 ** (snr_db / 10.0))


def loss_budget(scenario: Scenario, result: PointResult) -> dict[str, float]:
    """Factors whose product is the point's efficiency."""
    tables = scenario.tables
    mcs = McsTable.load()[result.mcs]
    blocks = scenario.blocks(mcs.name)
    burst = DataBurst("budget", 1, *scenario.grants[0], mcs.name, list(range(blocks)))
    layout = burst_layout(burst, NUMEROLOGY)
    elements = int(np.count_nonzero(~layout.pilot_mask()))
    loaded, granted = len(layout.subcarriers), scenario.rb_count * NUMEROLOGY.rb_subcarriers
    loaded_snr_db = result.snr_db + scenario.loaded_gain_db
    need_db = tables.required_snr_db(mcs.name, block_error_target(scenario.burst_error_target, blocks))
    known_db = need_db - receiver_loss_db(mcs.name, tables.required_snr_db(mcs.name, THRESHOLD_RATE))
    information = float(mutual_information(np.array([known_db]), mcs.bits_per_symbol)[0])
    info_bits = BLOCK_FORMATS[mcs.codec].info_bits
    return {
        "guard": scenario.rb_count * NUMEROLOGY.rb_bandwidth_hz / scenario.bandwidth_hz,
        "prefix": NUMEROLOGY.fft_size / NUMEROLOGY.symbol_samples,
        "carrier": loaded * capacity(loaded_snr_db) / (granted * capacity(result.snr_db)),
        "training": layout.data_symbols / layout.symbols,
        "pilots": elements / (layout.data_symbols * loaded),
        "padding": blocks * mcs.block_coded_bits / (elements * mcs.bits_per_symbol),
        "framing": block_payload_bits(mcs.name) / info_bits,
        "step": capacity(need_db) / capacity(loaded_snr_db),
        "receiver": capacity(known_db) / capacity(need_db),
        "shaping": information / capacity(known_db),
        "code": info_bits / mcs.block_coded_bits * mcs.bits_per_symbol / information,
        "errors": 1.0 - result.block_error_rate,
    }


def receiver_loss_db(mcs: str, threshold_db: float) -> float:
    """What the receiver needs beyond coding and constellation alone at ``THRESHOLD_RATE``, dB."""
    rates = [_known_channel_error_rate(mcs, threshold_db + offset) for offset in OFFSETS_DB]
    # Ascending for np.interp: rates fall with SNR.
    log_rates = np.log(np.minimum.accumulate(rates))[::-1]
    return -float(np.interp(math.log(THRESHOLD_RATE), log_rates, OFFSETS_DB[::-1]))


def _known_channel_error_rate(mcs: str, snr_db: float) -> float:
    rng = random_stream(1, "known channel", mcs, round(1000 * snr_db))
    scheme = McsTable.load()[mcs]
    blocks = THRESHOLD_BLOCKS
    burst = DataBurst("known", int(rng.integers(2**62)), 0, 1, mcs, list(range(blocks)))
    content = random_blocks(rng, burst)
    symbols = encode_blocks(burst, content, -(-blocks * scheme.block_coded_bits // scheme.bits_per_symbol))
    snr = 10.0 ** (snr_db / 10.0)
    noise = rng.standard_normal((len(symbols), 2)) @ np.array([1.0, 1j]) * math.sqrt(0.5 / snr)
    received = (symbols + noise).astype(np.complex64)
    arrived = decode_blocks(scheme, block_soft_bits(burst, received, np.full(len(symbols), snr, np.float32)))
    lost = sum(got != sent for got, sent in zip(arrived, content, strict=True))
    return (lost + 0.5) / (blocks + 1.0)


def simulate(options: argparse.Namespace, codec: str) -> tuple[Scenario, list[PointResult]]:
    """Every SNR with the MCS of the tables."""
    scenario = Scenario(seed=options.seed, codec=codec, tables_file=options.tables)
    points = [Point(float(snr_db), AUTO) for snr_db in SNR_DB]
    with Workers(options.jobs) as workers:
        return scenario, sweep(scenario, points, options.bursts, workers, point_done=_tell)


def _tell(result: PointResult) -> None:
    print(f"{result.mcs} {result.snr_db:g} dB: efficiency {result.efficiency:.3f}", file=sys.stderr, flush=True)


def print_efficiency(ldpc: Sequence[PointResult], convolutional: Sequence[PointResult]) -> bool:
    """The first table; whether every point holds its limits."""
    stock = {point.snr_db: point.efficiency for point in load_stock_modem().points}
    print(
        f"SNR dB  MCS           burst error (<={MOST_BURST_ERRORS})  efficiency (>={LIMIT}, aim {AIM})  K = 7   stock"
    )
    held = []
    for point, other in zip(ldpc, convolutional, strict=True):
        held.append(point.efficiency >= LIMIT and point.burst_error_rate <= MOST_BURST_ERRORS)
        print(
            f"{point.snr_db:6.0f}  {point.mcs:12}  {point.burst_error_rate:19.3f}  {point.efficiency:29.3f}  "
            f"{other.efficiency:5.3f}  {stock[point.snr_db]:6.3f}  {'' if held[-1] else 'NOT HELD'}"
        )
    mean, least = np.mean([p.efficiency for p in ldpc]), min(p.efficiency for p in ldpc)
    peer = np.mean([p.efficiency for p in convolutional])
    print(f"mean {mean:.3f}, least {least:.3f}; K = 7 mean {peer:.3f}; {'all held' if all(held) else 'NOT HELD'}")
    return all(held)


def print_budget(scenario: Scenario, results: Sequence[PointResult]) -> None:
    """The second table."""
    budgets = [loss_budget(scenario, result) for result in results]
    print("\nSNR dB  " + "  ".join(f"{name:>8}" for name in budgets[0]) + "   product")
    for result, budget in zip(results, budgets, strict=True):
        product = math.prod(budget.values())
        assert abs(product - result.efficiency) < 1e-6, "the budget leaves something out"
        print(f"{result.snr_db:6.0f}  " + "  ".join(f"{value:8.3f}" for value in budget.values()) + f"  {product:8.3f}")
    means = [math.exp(np.mean([math.log(budget[name]) for budget in budgets])) for name in budgets[0]]
    print("mean    " + "  ".join(f"{value:8.3f}" for value in means) + f"  {math.prod(means):8.3f}")


def main() -> int:
    """Measure, print, and say by the exit code whether every limit held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bursts", type=integer(1), default=200, help="per point (200)")
    parser.add_argument("--jobs", type=integer(1), default=default_jobs())
    parser.add_argument("--seed", type=integer(0), default=2, help="not that of the link tables (2)")
    parser.add_argument("--tables", metavar="FILE", default="", help="link tables to choose by (the shipped ones)")
    options = parser.parse_args()
    scenario, ldpc = simulate(options, "ldpc")
    _, convolutional = simulate(options, "convolutional")
    held = print_efficiency(ldpc, convolutional)
    print_budget(scenario, ldpc)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
