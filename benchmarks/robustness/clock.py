"""Sample clocks that are off, over the longest burst."""

from __future__ import annotations

from multiprocessing.pool import Pool

import numpy as np

from benchmarks.robustness.heard import (
    CLOCK_ESTIMATE_PPM,
    MAX_CLOCK_PPM,
    NUMEROLOGY,
    SEED,
    Heard,
    guessed_snr_db,
    hear,
    loss_text,
    needed_snr_db,
    random_data_burst,
    random_flight,
    verdict,
)
from protocol.random_streams import random_stream
from radio.modem import MAX_BURST_SAMPLES, max_blocks

MCS = ("16qam-3/4", "16qam-750", "64qam-772")
QUICK_MCS = MCS[:2]
GRANTS = ((4, 7), (0, 28))
LIMIT_DB = 0.3
CLEAN_DB = 35.0
"""SNR at which the error vector is compared: what the clock leaves stands out of the noise."""


def longest_burst(mcs: str, grant: tuple[int, int], clock_ppm: float, told_wrong_ppm: float, index: int) -> Heard:
    """A burst as long as bursts may be; but for the clock all draws are the same."""
    key = ("clock", mcs, grant[1], index)
    rng = random_stream(SEED, *key)
    blocks = max_blocks(*grant, mcs, NUMEROLOGY, MAX_BURST_SAMPLES)
    burst = random_data_burst(rng, grant, mcs, blocks, clock_ppm, told_wrong_ppm)
    return hear(key, burst, random_flight(rng, clock_ppm, tail=2000))


def clock_figures(mcs: str, grant: tuple[int, int], bursts: int) -> list[tuple[float, float, float, float]]:
    """(clock error, error of what the receiver was told, SNR needed, error vector at ``CLEAN_DB``), ppm and dB.

    The first row is that of a perfect clock.
    """
    guess_db = guessed_snr_db(mcs)
    rows = []
    for clock_ppm, wrong_ppm in (
        (0.0, 0.0),
        *((s * MAX_CLOCK_PPM, w) for s in (1, -1) for w in (CLOCK_ESTIMATE_PPM, 2.0)),
    ):
        heard = [longest_burst(mcs, grant, clock_ppm, wrong_ppm, index) for index in range(bursts)]
        needed_db = needed_snr_db(heard, guess_db - 3.0, guess_db + 4.0)
        evm_db = float(np.mean([h.report(CLEAN_DB).evm_db for h in heard]))
        rows.append((clock_ppm, wrong_ppm, needed_db, evm_db))
    return rows


def show(pool: Pool, quick: bool) -> None:
    """Print what clocks cost."""
    schemes = QUICK_MCS if quick else MCS
    jobs = [(mcs, grant, 1 if quick else 3) for mcs in schemes for grant in GRANTS]
    for (mcs, grant, _), rows in zip(jobs, pool.starmap(clock_figures, jobs, chunksize=1), strict=True):
        _, _, perfect_db, perfect_evm_db = rows[0]
        for clock_ppm, wrong_ppm, needed_db, evm_db in rows[1:]:
            loss_db = needed_db - perfect_db
            print(
                f"  {mcs:10s} {grant[1]:2d} RBs   clock {clock_ppm:+3.0f} ppm, told {wrong_ppm:.1f} ppm wrong: "
                f"loss {loss_text(loss_db)} dB   EVM {evm_db:6.1f} dB (at 0 ppm {perfect_evm_db:6.1f})   "
                f"{verdict(loss_db, LIMIT_DB)}",
                flush=True,
            )
