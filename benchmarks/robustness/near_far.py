"""Four clients in adjacent grants, one of them weak."""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.pool import Pool

import numpy as np

from benchmarks.robustness.heard import (
    CLOCK_ESTIMATE_PPM,
    MAX_CFO_HZ,
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
from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.modem import burst_air_samples, max_blocks
from radio.modem.trial import Neighbour, random_blocks

GRANTS = ((0, 7), (8, 6), (15, 6), (22, 6))
"""(start, count) in RBs; the first and the last mirror each other at the carrier, so do the two in the middle."""
POSITIONS = (0, 1, 3)
"""At the lower edge, beside the carrier, at the upper edge."""
LIMITED_MCS = (
    *("bpsk-1/2", "qpsk-1/2", "qpsk-3/4", "16qam-1/2", "16qam-3/4"),
    *("qpsk-308", "qpsk-602", "16qam-490", "16qam-750"),
)
"""Up to 16QAM 3/4."""
REPORTED_MCS = ("16qam-840", "64qam-3/4", "64qam-772", "256qam-797", "256qam-948")
QUICK_MCS = ("qpsk-1/2", "16qam-3/4", "16qam-750")
LIMIT_DB = 1.0
BURST_SAMPLES = 60_000
SPREAD_DB = 20.0
LOUDEST_DB = 34.0
"""SNR per RB at which power control holds strong clients: the top MCS's need, 1 dB of margin, 3 dB of headroom."""
WORST_DB = 6.0
"""Losses are looked for up to this."""
NEIGHBOUR_MCS = "16qam-3/4"
LONGER_SAMPLES = 6_000
"""Neighbours outlast the weak client's burst on both sides."""


@dataclass(frozen=True)
class Case:
    """A weak client at ``GRANTS[position]``; ``others_db``: the others' power per RB over its own, None: alone."""

    mcs: str
    position: int
    others_db: float | None = None
    preset: str = "none"
    others_gain_db: float = 0.0
    """The others' transmit power below full power: their LO leakage stays."""


def case_snr_db(case: Case, bursts: int, low_db: float, high_db: float) -> float:
    """SNR per RB at which the weak client loses a tenth of its blocks."""
    return needed_snr_db([weak_burst(case, index) for index in range(bursts)], low_db, high_db)


def losses_db(mcs: str, position: int, bursts: int) -> tuple[float, dict[str, float]]:
    """SNR the weak client needs alone with perfect radios, and by how much it needs more in each of ``scenes``."""
    guess_db = guessed_snr_db(mcs)
    alone_db = case_snr_db(Case(mcs, position), bursts, guess_db - 3.0, guess_db + 4.0)
    scenes = {
        "none": Case(mcs, position, SPREAD_DB),
        "pluto": Case(mcs, position, SPREAD_DB, "pluto"),
        "lower": Case(mcs, position, SPREAD_DB, "pluto", -10.0),
        "held": Case(mcs, position, min(SPREAD_DB, LOUDEST_DB - alone_db), "pluto"),
    }
    low_db, high_db = alone_db - 0.5, alone_db + WORST_DB
    return alone_db, {name: case_snr_db(case, bursts, low_db, high_db) - alone_db for name, case in scenes.items()}


def weak_burst(case: Case, index: int) -> Heard:
    """Burst ``index`` of a case; but for the case all draws are the same."""
    key = ("near far", case.mcs, case.position, index)
    own, others = random_stream(SEED, *key), random_stream(SEED, *key, "others")
    clock_ppm = float(own.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM))
    told_wrong_ppm = float(own.uniform(-CLOCK_ESTIMATE_PPM, CLOCK_ESTIMATE_PPM))
    grant = GRANTS[case.position]
    blocks = max(max_blocks(*grant, case.mcs, NUMEROLOGY, BURST_SAMPLES), 2)
    burst = random_data_burst(own, grant, case.mcs, blocks, clock_ppm, told_wrong_ppm)
    flight = random_flight(own, clock_ppm)
    neighbours = []
    if case.others_db is not None:
        places = [g for i, g in enumerate(GRANTS) if i != case.position]
        length = burst_air_samples(burst, NUMEROLOGY) + LONGER_SAMPLES
        neighbours = [_neighbour(others, place, length, case) for place in places]
    return hear(key, burst, flight, neighbours, case.preset)


def _neighbour(rng: np.random.Generator, grant: tuple[int, int], length: int, case: Case) -> Neighbour:
    blocks = max_blocks(*grant, NEIGHBOUR_MCS, NUMEROLOGY, length)
    burst = DataBurst(
        client="neighbour",
        burst_id=int(rng.integers(2**62)),
        rb_start=grant[0],
        rb_count=grant[1],
        mcs=NEIGHBOUR_MCS,
        block_ids=list(range(blocks)),
        tx_gain_db=case.others_gain_db,
    )
    return Neighbour(
        burst=burst,
        blocks=random_blocks(rng, burst),
        density_db=case.others_db or 0.0,
        start=float(rng.uniform(0.0, 1000.0)),
        cfo_hz=float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ)),
        clock_ppm=float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM)),
    )


def show(pool: Pool, quick: bool) -> None:
    """Print what strong neighbours cost a weak client."""
    limited, reported, bursts = (QUICK_MCS, (), 8) if quick else (LIMITED_MCS, REPORTED_MCS, 16)
    jobs = [(mcs, position, bursts) for mcs in (*limited, *reported) for position in POSITIONS]
    print(
        f"  Loss of the weak client in dB. Others: three, each {SPREAD_DB:g} dB above it per RB. 'Lower': they send\n"
        f"  10 dB below full power. 'Held': at most {LOUDEST_DB:g} dB of SNR, as power control leaves them.\n"
        "  scheme        RBs     SNR alone   perfect   pluto   pluto, lower   pluto, held"
    )
    for (mcs, position, _), (alone_db, loss) in zip(jobs, pool.starmap(losses_db, jobs, chunksize=1), strict=True):
        start, count = GRANTS[position]
        none, pluto, lower, held = (loss_text(loss[scene]) for scene in ("none", "pluto", "lower", "held"))
        end = verdict(max(loss["none"], loss["pluto"]), LIMIT_DB) if mcs in limited else "reported"
        place = f"{start:2d}..{start + count - 1:2d}"
        print(
            f"  {mcs:12s} {place}  {alone_db:7.2f} dB    {none}   {pluto}    {lower}          {held}   {end}",
            flush=True,
        )
