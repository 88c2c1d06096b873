"""Where a tenth of the blocks is lost over a fading channel: predicted by effective SNR, and by the whole modem.

    OMP_NUM_THREADS=1 python -m benchmarks.effective_snr [--realisations 100] [--rb 16] [--seed 1] [MCS ...]

Both sides see the same realisations of the channel. The prediction takes the true SNR of each subcarrier, maps it to
an effective SNR and looks the block error rate up in the link tables; the modem (``radio.modem.trial``) sends a burst
per realisation and SNR with random timing, carrier and clock offset. The points must lie within 1 dB.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.arguments import integer, one_of
from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, Taps, apply_taps, draw_taps, frequency_response
from radio.link_tables import LinkTables
from radio.modem import McsTable, receive
from radio.modem.trial import Impairments, Scene, random_blocks, send
from radio.numerology import DEFAULT_2MSPS
from radio.rates import effective_snr_db

LIMIT_DB = 1.0
ERROR_RATE = 0.1
BURST_BYTES = 2016
"""Of a burst: shorter ones have too few pilots for what the link tables were measured with."""
STEPS_DB = (-1.5, -0.5, 0.5, 1.5)
MAX_CFO_HZ = 1.9e3
MAX_CLOCK_PPM = 25.0
CLOCK_ESTIMATE_PPM = 0.2
CHANNELS = {
    "awgn": FadingModel("awgn"),
    "rayleigh": FadingModel("rayleigh"),
    "tdl-a 300 ns": FadingModel("tdl-a", 300e-9),
    "tdl-c 300 ns": FadingModel("tdl-c", 300e-9),
    "tdl-c 800 ns": FadingModel("tdl-c", 800e-9),
}
DEFAULT_MCS = ("qpsk-449", "16qam-553", "64qam-719", "256qam-841")


class Case(NamedTuple):
    """One MCS over one channel."""

    mcs: str
    model: FadingModel
    realisations: int = 100
    rb_start: int = 6
    rb_count: int = 16
    blocks: int = 2
    seed: int = 1

    def taps(self, index: int) -> Taps:
        """Realisation ``index``."""
        return draw_taps(random_stream(self.seed, "effective snr", self.model.name, index), self.model)


def ten_percent_points_db(case: Case) -> tuple[float, float]:
    """Mean SNR at which ``ERROR_RATE`` of the blocks is lost: predicted, and over the modem.

    Both are interpolated between the same few SNRs: few realisations make steps that differ in where they are met.
    """
    gains_db = [gains_db_of(case, case.taps(index)) for index in range(case.realisations)]
    snr_db = _centre_db(case, gains_db) + np.array(STEPS_DB)
    predicted = np.array([_expected_loss(case, gains_db, value) for value in snr_db])
    measured = np.array([_lost_share(case, value) for value in snr_db])
    return _crossing_db(case, snr_db, predicted), _crossing_db(case, snr_db, measured)


def _centre_db(case: Case, gains_db: Sequence[NDArray[np.float64]]) -> float:
    low, high = -10.0, 60.0
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _expected_loss(case, gains_db, middle) > ERROR_RATE else (low, middle)
    return high


def _expected_loss(case: Case, gains_db: Sequence[NDArray[np.float64]], snr_db: float) -> float:
    """Share of blocks that the link tables expect to be lost."""
    tables = LinkTables.load()
    lost = [tables.block_error_rate(case.mcs, effective_snr_db(gain + snr_db, case.mcs)) for gain in gains_db]
    return float(np.mean(lost))


def _crossing_db(case: Case, snr_db: NDArray[np.float64], lost: NDArray[np.float64]) -> float:
    # Half a block more: no share is 0. Non-increasing, so that there is one crossing.
    log_lost = np.log(np.minimum.accumulate(lost) + 0.5 / (case.blocks * case.realisations))
    return float(np.interp(-np.log(ERROR_RATE), -log_lost, snr_db))


def gains_db_of(case: Case, taps: Taps) -> NDArray[np.float64]:
    """Power gain of the channel on each loaded subcarrier of the grant, dB."""
    numerology = DEFAULT_2MSPS
    loaded = numerology.loaded_subcarriers(case.rb_start, case.rb_count)
    centre = numerology.centre_subcarrier(case.rb_start, case.rb_count)
    response = frequency_response(taps, (loaded + centre) * numerology.subcarrier_spacing_hz)
    return 20.0 * np.log10(np.abs(response))


def _lost_share(case: Case, snr_db: float) -> float:
    return float(np.mean([_lost_blocks(case, snr_db, index) for index in range(case.realisations)])) / case.blocks


def _lost_blocks(case: Case, snr_db: float, index: int) -> int:
    rng = random_stream(case.seed, "effective snr burst", case.mcs, case.model.name, index, round(100 * snr_db))
    taps, clock_ppm = case.taps(index), float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM))
    burst = DataBurst(
        client="a",
        burst_id=int(rng.integers(2**62)),
        rb_start=case.rb_start,
        rb_count=case.rb_count,
        mcs=case.mcs,
        block_ids=list(range(case.blocks)),
        clock_offset_ppm=clock_ppm + float(rng.uniform(-CLOCK_ESTIMATE_PPM, CLOCK_ESTIMATE_PPM)),
    )
    blocks = random_blocks(rng, burst)
    start, cfo_hz = float(rng.uniform(1100.0, 3000.0)), float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ))
    scene = Scene(fading=lambda samples: apply_taps(samples, taps, DEFAULT_2MSPS.sample_rate_hz))
    impairments = Impairments(snr_db=snr_db, start=start, cfo_hz=cfo_hz, clock_ppm=clock_ppm)
    report = receive(burst, send(rng, burst, blocks, impairments, DEFAULT_2MSPS, scene), DEFAULT_2MSPS)
    return sum(got != sent for got, sent in zip(report.blocks, blocks, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mcs", nargs="*", type=one_of(LinkTables.load().mcs_names), default=list(DEFAULT_MCS))
    parser.add_argument("--realisations", type=integer(1), default=100)
    parser.add_argument("--rb", type=integer(1, 28), default=16)
    parser.add_argument("--seed", type=integer(0), default=1)
    options = parser.parse_args(arguments)
    print(f"SNR at which {ERROR_RATE:.0%} of the blocks are lost, dB; wanted: within {LIMIT_DB:g} dB")
    for mcs in options.mcs:
        blocks = max(1, BURST_BYTES // McsTable.load()[mcs].block_bytes)
        for name, model in CHANNELS.items():
            start = (28 - options.rb) // 2
            case = Case(mcs, model, options.realisations, start, options.rb, blocks, options.seed)
            predicted_db, measured_db = ten_percent_points_db(case)
            difference_db = measured_db - predicted_db
            verdict = "ok" if abs(difference_db) <= LIMIT_DB else "MISSED"
            print(
                f"{mcs:16s} {name:14s} predicted {predicted_db:6.2f}  measured {measured_db:6.2f}  "
                f"difference {difference_db:+5.2f}  {verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
