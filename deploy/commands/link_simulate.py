"""``airtune link simulate``: error rates and goodput of the simulated link against SNR."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from radio.simulation.results import PointResult
    from radio.simulation.scenario import Point, Scenario

MAX_POINTS = 10_000
PLOT_FORMATS = (".png", ".svg", ".pdf")
_EXAMPLE = """\
example: airtune link simulate --snr-db 0:30:2 --mcs auto --rb 16 --plot link.png
         airtune link simulate --snr-db=-3:6:0.5 --mcs qpsk-1/2,qpsk-3/4 --bursts 200 --json > link.json
"""


def add_parser(subparsers: Any) -> None:
    """Add ``simulate`` to the actions of ``link``."""
    parser = subparsers.add_parser(
        "simulate",
        help="error rates and goodput against SNR",
        description="Send bursts through the whole modem at each SNR and count what arrives (docs/link.md).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--snr-db", metavar="A:B:STEP", default="0:30:2", help="from A to B, or a list A,B,C (0:30:2)")
    parser.add_argument("--channel", metavar="NAME", default="awgn", help="awgn, rayleigh, rician, tdl-a|b|c (awgn)")
    parser.add_argument("--delay-spread-ns", metavar="NS", type=float, default=300.0, help="RMS, of tdl-* (300)")
    parser.add_argument("--mcs", metavar="NAMES", default="auto", help="auto (by the link tables), or names, by commas")
    parser.add_argument(
        "--codec", metavar="NAME", default="ldpc", help="of auto: ldpc, ldpc-short, convolutional (ldpc)"
    )
    parser.add_argument("--rb", metavar="K", type=int, default=16, help="resource blocks of the grant (16)")
    parser.add_argument("--bursts", metavar="N", type=int, default=100, help="bursts per point (100)")
    parser.add_argument("--payload-bits", metavar="N", type=int, default=100_000, help="of a burst, about (100000)")
    parser.add_argument("--neighbours", metavar="N", type=int, default=0, help="clients in adjacent grants, 0 to 3 (0)")
    parser.add_argument(
        "--neighbour-db", metavar="DB", type=float, default=20.0, help="their power per RB over the burst's own (20)"
    )
    parser.add_argument("--impairments", metavar="NAME", default="none", help="of the radios: none, pluto (none)")
    parser.add_argument("--seed", metavar="S", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--jobs", metavar="N", type=int, help="processes; the figures do not depend on it (all CPUs)")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="picture of the curves: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end; progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Simulate and print. Raises ConfigurationError on a bad argument, StorageError where the picture fails."""
    from deploy.sweep_progress import open_sweep_progress
    from radio.simulation.scenario import check
    from radio.simulation.sweep import sweep
    from radio.simulation.workers import Workers, default_jobs

    scenario, points = _scenario(args), _points(args)
    jobs = default_jobs() if args.jobs is None else args.jobs
    for option, value in (("--bursts", args.bursts), ("--jobs", jobs)):
        if value < 1:
            raise ConfigurationError(f"{option} {value}: must be at least 1")
    if args.plot is not None:
        _check_plot(args.plot)
    check(scenario, points)
    with Workers(jobs) as workers, open_sweep_progress(len(points) * args.bursts, sys.stderr) as progress:
        results = sweep(scenario, points, args.bursts, workers, progress.bursts_done, progress.point_done)
    # Printed first: a picture that cannot be written must not take the figures with it.
    print(_document(scenario, results) if args.json else _table(results), flush=True)
    if args.plot is not None:
        from deploy.link_plot import save_link_plot

        save_link_plot(args.plot, _curves(points, results), _title(args))
    return 0


def _scenario(args: argparse.Namespace) -> Scenario:
    from radio.simulation.scenario import Scenario

    return Scenario(
        seed=args.seed,
        codec=args.codec,
        rb_count=args.rb,
        payload_bits=args.payload_bits,
        channel=args.channel,
        delay_spread_s=1e-9 * args.delay_spread_ns,
        neighbours=args.neighbours,
        neighbour_db=args.neighbour_db,
        impairments=args.impairments,
    )


def _points(args: argparse.Namespace) -> list[Point]:
    from radio.simulation.scenario import Point

    snrs_db = snr_range(args.snr_db)
    schemes = [name.strip() for name in args.mcs.split(",")]
    if len(snrs_db) * len(schemes) > MAX_POINTS:
        raise ConfigurationError(f"--snr-db {args.snr_db}: more than {MAX_POINTS} points")
    return [Point(snr_db, mcs) for mcs in schemes for snr_db in snrs_db]


def snr_range(text: str) -> list[float]:
    """``0:30:2`` (both ends), ``0:30`` (1 dB steps) or ``3,4.5,6`` as numbers. Raises ConfigurationError."""
    try:
        if ":" not in text:
            values = [float(part) for part in text.split(",")]
        else:
            first, last, *step = (float(part) for part in text.split(":"))
            (width,) = step or [1.0]
            count = math.floor((last - first) / width + 1e-9) + 1
            values = [round(first + index * width, 6) for index in range(min(count, MAX_POINTS + 1))]
    except (ValueError, ZeroDivisionError, OverflowError):
        values = []
    if not values or not all(map(math.isfinite, values)):
        raise ConfigurationError(f"--snr-db {text}: must be FROM:TO:STEP or a list of numbers, as in 0:30:2 or 3,4.5,6")
    return values


def _check_plot(path: Path) -> None:
    """Before the simulation, not after it: a file that cannot be written is told at once."""
    if path.suffix.lower() not in PLOT_FORMATS:
        raise ConfigurationError(f"--plot {path}: must end in {', '.join(PLOT_FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--plot {path}: the directory {path.parent} does not exist")


def _curves(points: list[Point], results: list[PointResult]) -> dict[str, list[PointResult]]:
    """Results by the scheme that was asked for."""
    curves: dict[str, list[PointResult]] = {}
    for point, result in zip(points, results, strict=True):
        curves.setdefault(point.mcs, []).append(result)
    return curves


def _title(args: argparse.Namespace) -> str:
    parts = [args.channel, f"{args.rb} RBs", f"{args.payload_bits / 1e3:g} kbit", f"{args.bursts} bursts a point"]
    if args.neighbours:
        parts.insert(2, f"{args.neighbours} neighbours at {args.neighbour_db:+g} dB")
    if args.impairments != "none":
        parts.insert(2, f"{args.impairments} radios")
    return ", ".join(parts)


def _document(scenario: Scenario, results: list[PointResult]) -> str:
    document = {"simulation": scenario, "points": results}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _table(results: list[PointResult]) -> str:
    width = max(len(point.mcs) for point in results)
    heading = f"SNR dB  {'MCS':{width}}  burst err  block err  goodput Mbit/s  capacity Mbit/s  efficiency"
    return "\n".join([heading, *(_row(point, width) for point in results)])


def _row(point: PointResult, width: int) -> str:
    return (
        f"{point.snr_db:6.1f}  {point.mcs:{width}}  {point.burst_error_rate:9.3f}  {point.block_error_rate:9.2g}  "
        f"{point.goodput_bps / 1e6:14.3f}  {point.capacity_bps / 1e6:15.3f}  {point.efficiency:10.3f}"
    )
