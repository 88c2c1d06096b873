"""Make ``radio/data/link_tables.json``: ``python -m radio.measure_link_tables [--bursts N] [--out FILE]``.

Every burst passes the whole modem: random fractional timing, carrier offset within 2 kHz, clock offset
within 25 ppm told to the receiver within 0.2 ppm, detection, estimation, decoding. A burst that is not
detected loses all its blocks.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from importlib import metadata
from pathlib import Path

import msgspec
import numpy as np
import scipy

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.link_tables import LINK_TABLES_FILE, LinkPoint, LinkTablesFile, Provenance
from radio.modem import MCS_NAMES, receive
from radio.modem.trial import Impairments, random_blocks, send
from radio.numerology import DEFAULT_2MSPS

RB_START = 4
RB_COUNT = 7
BLOCKS_PER_BURST = 8
STEP_DB = 0.5
FIRST_SNR_DB = -3.0
ALL_LOST = 0.99
"""Points are kept once fewer than this share of the blocks are lost."""
SMALLEST_RATE = 1.5e-3
"""A table ends at the first point below."""
MAX_CFO_HZ = 1.9e3
MAX_CLOCK_PPM = 25.0
CLOCK_ESTIMATE_PPM = 0.2


def measure_point(mcs: str, snr_db: float, bursts: int, seed: int) -> LinkPoint:
    """Blocks lost among those of ``bursts`` bursts at ``snr_db``."""
    errors = 0
    for index in range(bursts):
        errors += _lost_blocks(mcs, snr_db, random_stream(seed, "link table", mcs, round(1000 * snr_db), index))
    return LinkPoint(snr_db=snr_db, blocks=bursts * BLOCKS_PER_BURST, errors=errors)


def measure_table(mcs: str, bursts: int, seed: int, first_snr_db: float = FIRST_SNR_DB) -> list[LinkPoint]:
    """Points from where the first blocks arrive to where hardly any is lost."""
    points: list[LinkPoint] = []
    snr_db = first_snr_db
    while not points or points[-1].errors > SMALLEST_RATE * points[-1].blocks:
        probe = measure_point(mcs, snr_db, 2, seed)
        if probe.errors < probe.blocks or points:
            point = measure_point(mcs, snr_db, bursts, seed)
            print(f"{mcs} {snr_db:5.1f} dB: {point.errors}/{point.blocks} blocks lost", file=sys.stderr, flush=True)
            if points or point.errors < ALL_LOST * point.blocks:
                points.append(point)
        snr_db += STEP_DB
    return points


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m radio.measure_link_tables", description=__doc__)
    parser.add_argument("--bursts", type=int, default=100, help="bursts of 8 blocks per point")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=LINK_TABLES_FILE)
    options = parser.parse_args(arguments)
    points = {mcs: measure_table(mcs, options.bursts, options.seed) for mcs in MCS_NAMES}
    content = LinkTablesFile(provenance=_provenance(options.bursts, options.seed), points=points)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def _lost_blocks(mcs: str, snr_db: float, rng: np.random.Generator) -> int:
    clock_ppm = float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM))
    burst = DataBurst(
        client="probe",
        burst_id=int(rng.integers(2**62)),
        rb_start=RB_START,
        rb_count=RB_COUNT,
        mcs=mcs,
        block_ids=list(range(BLOCKS_PER_BURST)),
        clock_offset_ppm=clock_ppm + float(rng.uniform(-CLOCK_ESTIMATE_PPM, CLOCK_ESTIMATE_PPM)),
    )
    blocks = random_blocks(rng, burst)
    impairments = Impairments(
        snr_db=snr_db,
        start=float(rng.uniform(1000.0, 3000.0)),
        cfo_hz=float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ)),
        clock_ppm=clock_ppm,
    )
    report = receive(burst, send(rng, burst, blocks, impairments, DEFAULT_2MSPS), DEFAULT_2MSPS)
    return sum(got != sent for got, sent in zip(report.blocks, blocks, strict=True))


def _provenance(bursts: int, seed: int) -> Provenance:
    return Provenance(
        date=datetime.date.today().isoformat(),
        command=f"python -m radio.measure_link_tables --bursts {bursts} --seed {seed}",
        versions={
            "airtune": metadata.version("airtune"),
            "gnuradio": _gnu_radio_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        seed=seed,
        rb_count=RB_COUNT,
        blocks_per_burst=BLOCKS_PER_BURST,
        bursts_per_point=bursts,
        channel="flat, AWGN; random timing, carrier offset within 1.9 kHz, clock offset within 25 ppm",
    )


def _gnu_radio_version() -> str:
    from gnuradio import gr

    return str(gr.version())


if __name__ == "__main__":
    main()
