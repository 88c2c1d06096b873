"""Make ``radio/data/link_tables.json``: ``python -m radio.measure_link_tables [--codec NAME]...``.

Every burst passes the whole modem as in ``airtune link simulate``: random timing, carrier offset, clock offset,
detection, estimation, decoding; a burst that is not detected loses all its blocks. Per scheme the SNR at which half
of the blocks are lost is found by bisection from the scheme before it; from there points are measured upwards until
hardly a block is lost and downwards until hardly one arrives. A point ends once enough blocks were lost
to know its rate, or at ``--bursts``. Tables of codecs that are not measured stay as they are in the file.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import get_args

import msgspec

from protocol.configuration import CodecName
from radio.link_tables import LINK_TABLES_FILE, CodecTables, LinkPoint, LinkTablesFile, Provenance
from radio.modem.mcs import BLOCK_FORMATS, McsTable
from radio.simulation.burst import MAX_CFO_HZ, MAX_CLOCK_PPM
from radio.simulation.scenario import Point, Scenario
from radio.simulation.workers import Batch, Workers, default_jobs

STEP_DB: dict[CodecName, float] = {"ldpc": 0.25, "ldpc-short": 0.25, "convolutional": 0.5}
"""Distance of points: a few within the waterfall."""
START_DB = -4.0
"""Where the search for the first scheme begins."""
USUAL_STEP_DB = 0.5
"""How much more SNR than the scheme before a scheme needs, about."""
ALL_LOST = 0.95
"""A table begins at a point that loses more."""
SMALLEST_RATE = 1.5e-3
"""A table ends at the first point that loses no more."""
ENOUGH_ERRORS = 60
PROBE_BURSTS = 2
ROUND_BURSTS = 16
"""Bursts of a point between two looks at its errors; ``BATCH_BURSTS`` of them go to a process at a time."""
BATCH_BURSTS = 4


class PointMeter:
    """Measures points of one codec's schemes. SNR per loaded subcarrier, as tables count it."""

    def __init__(self, workers: Workers, scenario: Scenario, most_bursts: int) -> None:
        self._workers = workers
        self._scenario = scenario
        self._most_bursts = most_bursts

    def point(self, mcs: str, snr_db: float) -> LinkPoint:
        """Blocks lost at ``snr_db``, of as many as it takes to know."""
        blocks = errors = bursts = 0
        while errors < ENOUGH_ERRORS and bursts < self._most_bursts:
            count = min(ROUND_BURSTS, self._most_bursts - bursts)
            sent, lost = self._bursts(mcs, snr_db, bursts, count)
            blocks, errors, bursts = blocks + sent, errors + lost, bursts + count
        print(f"{mcs} {snr_db:6.2f} dB: {errors}/{blocks} blocks lost", file=sys.stderr, flush=True)
        return LinkPoint(snr_db=snr_db, blocks=blocks, errors=errors)

    def loses_half(self, mcs: str, snr_db: float) -> bool:
        """Whether about half of the blocks or more are lost, from very few bursts."""
        sent, lost = self._bursts(mcs, snr_db, 0, PROBE_BURSTS)
        return 2 * lost >= sent

    def _bursts(self, mcs: str, snr_db: float, first: int, count: int) -> tuple[int, int]:
        """Blocks sent and lost in bursts ``first .. first + count - 1`` of a point."""
        point = Point(snr_db - self._scenario.loaded_gain_db, mcs)
        size = min(BATCH_BURSTS, -(-count // self._workers.jobs))
        starts = range(first, first + count, size)
        batches = [Batch(0, self._scenario, point, start, min(size, first + count - start)) for start in starts]
        outcomes = [outcome for _, done in self._workers.run(batches) for outcome in done]
        return sum(o.blocks for o in outcomes), sum(o.lost for o in outcomes)


def measure_table(meter: PointMeter, mcs: str, step_db: float, guess_db: float) -> list[LinkPoint]:
    """Points of a scheme from where hardly a block arrives to where hardly one is lost."""
    middle = _waterfall(meter, mcs, step_db, guess_db)
    points = [meter.point(mcs, middle * step_db)]
    above = middle
    while points[-1].errors > SMALLEST_RATE * points[-1].blocks:
        above += 1
        points.append(meter.point(mcs, above * step_db))
    below = middle
    while points[0].errors < ALL_LOST * points[0].blocks:
        below -= 1
        points.insert(0, meter.point(mcs, below * step_db))
    return points


def _waterfall(meter: PointMeter, mcs: str, step_db: float, guess_db: float) -> int:
    """The first multiple of ``step_db`` at which less than about half of the blocks are lost."""
    coarse = max(1, round(1.0 / step_db))
    high = round(guess_db / step_db)
    while meter.loses_half(mcs, high * step_db):
        high += coarse
    low = high - coarse
    while not meter.loses_half(mcs, low * step_db):
        low -= coarse
    while high - low > 1:
        middle = (low + high) // 2
        if meter.loses_half(mcs, middle * step_db):
            low = middle
        else:
            high = middle
    return high


def measure_codec(
    workers: Workers, scenario: Scenario, most_bursts: int, schemes: Sequence[str]
) -> dict[str, list[LinkPoint]]:
    """Tables of ``schemes``, which ascend in spectral efficiency."""
    meter = PointMeter(workers, scenario, most_bursts)
    tables: dict[str, list[LinkPoint]] = {}
    guess_db = START_DB
    for mcs in schemes:
        tables[mcs] = measure_table(meter, mcs, STEP_DB[scenario.codec], guess_db)
        guess_db = tables[mcs][len(tables[mcs]) // 2].snr_db + USUAL_STEP_DB
    return tables


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m radio.measure_link_tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--codec", action="append", choices=get_args(CodecName), help="again for more (default: all)")
    parser.add_argument("--bursts", type=int, default=120, help="most bursts of a point (120)")
    parser.add_argument("--rb", type=int, default=16, help="resource blocks of the grant (16)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes; the tables do not depend on it")
    parser.add_argument("--out", type=Path, default=LINK_TABLES_FILE)
    options = parser.parse_args(arguments)
    content = msgspec.json.decode(options.out.read_bytes(), type=LinkTablesFile) if options.out.is_file() else {}
    with Workers(options.jobs) as workers:
        for codec in options.codec or get_args(CodecName):
            scenario = Scenario(seed=options.seed, codec=codec, rb_count=options.rb)
            schemes = [scheme.name for scheme in McsTable.load().of(codec)]
            points = measure_codec(workers, scenario, options.bursts, schemes)
            content[codec] = CodecTables(_provenance(scenario, options.bursts), points)
            options.out.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def _provenance(scenario: Scenario, most_bursts: int) -> Provenance:
    options = f"--codec {scenario.codec} --bursts {most_bursts} --rb {scenario.rb_count} --seed {scenario.seed}"
    return Provenance(
        date=datetime.date.today().isoformat(),
        command=f"python -m radio.measure_link_tables {options}",
        versions={"gnuradio": _gnu_radio_version(), **{p: metadata.version(p) for p in ("airtune", "numpy", "numba")}},
        seed=scenario.seed,
        block_bytes=BLOCK_FORMATS[scenario.codec].block_bytes,
        rb_count=scenario.rb_count,
        payload_bits=scenario.payload_bits,
        most_bursts=most_bursts,
        channel=f"flat, AWGN; random timing, carrier offset within {MAX_CFO_HZ / 1e3:g} kHz, "
        f"clock offset within {MAX_CLOCK_PPM:g} ppm",
    )


def _gnu_radio_version() -> str:
    from gnuradio import gr

    return str(gr.version())


if __name__ == "__main__":
    main()
