"""``airtune link simulate``: error rates and goodput of the simulated link against SNR."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deploy.pictures import check_picture
from protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from radio.simulation.results import PointResult
    from radio.simulation.scenario import Point, Scenario

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
    parser.add_argument(
        "--snr-db", metavar="A:B:STEP", default="0:30:2", help="from A to B (A:B: by 1 dB), or A,B,C (0:30:2)"
    )
    parser.add_argument(
        "--channel", metavar="NAME", type=str.lower, default="awgn", help="awgn, rayleigh, rician, tdl-a|b|c (awgn)"
    )
    parser.add_argument(
        "--delay-spread-ns", metavar="NS", type=float, help="RMS (300); at most 1357 tdl-a, 1505 tdl-b, 1022 tdl-c"
    )
    parser.add_argument(
        "--mcs", metavar="NAMES", type=str.lower, default="auto", help="auto (by the link tables), or names, by commas"
    )
    parser.add_argument(
        "--codec", metavar="NAME", type=str.lower, help="of auto: ldpc, ldpc-short, convolutional (ldpc)"
    )
    parser.add_argument("--rb", metavar="K", type=int, default=16, help="resource blocks of the grant (16)")
    parser.add_argument("--bursts", metavar="N", type=int, default=100, help="bursts per point (100)")
    parser.add_argument("--payload-bits", metavar="N", type=int, default=100_000, help="of a burst, about (100000)")
    parser.add_argument("--neighbours", metavar="N", type=int, default=0, help="clients in adjacent grants, 0 to 3 (0)")
    parser.add_argument(
        "--neighbour-db", metavar="DB", type=float, default=20.0, help="their power per RB over the burst's own (20)"
    )
    parser.add_argument(
        "--impairments", metavar="NAME", type=str.lower, default="none", help="of the radios: none, pluto (none)"
    )
    parser.add_argument("--seed", metavar="S", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--jobs", metavar="N", type=int, help="processes; the figures do not depend on it (all CPUs)")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="picture of the curves: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end; progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Simulate and print. Raises ConfigurationError on a bad argument, StorageError where the picture fails."""
    from deploy.link_arguments import request
    from radio.simulation.workers import default_jobs

    scenario, points = request(args)
    jobs = default_jobs() if args.jobs is None else args.jobs
    for option, value in (("--bursts", args.bursts), ("--jobs", jobs)):
        if value < 1:
            raise ConfigurationError(f"{option} {value}: must be at least 1")
    if args.plot is not None:
        check_picture("--plot", args.plot, PLOT_FORMATS)
    done: list[PointResult] = []
    try:
        results = _simulate(scenario, points, args.bursts, jobs, done)
    except KeyboardInterrupt:
        if done:
            _print(scenario, done, args.json)
        raise
    # Printed first: a picture that cannot be written must not take the figures with it.
    _print(scenario, results, args.json)
    if args.plot is not None:
        from deploy.link_plot import save_link_plot

        save_link_plot(args.plot, _curves(points, results), _title(args))
    return 0


def _simulate(
    scenario: Scenario, points: list[Point], bursts: int, jobs: int, done: list[PointResult]
) -> list[PointResult]:
    """The figures of all points; those there are so far go to ``done``, for whoever interrupts."""
    from deploy.sweep_progress import open_sweep_progress
    from radio.simulation.sweep import sweep
    from radio.simulation.workers import Workers

    with Workers(jobs) as workers, open_sweep_progress(len(points) * bursts, sys.stderr) as progress:

        def point_done(result: PointResult) -> None:
            done.append(result)
            progress.point_done(result)

        return sweep(scenario, points, bursts, workers, progress.bursts_done, point_done)


def _print(scenario: Scenario, results: list[PointResult], as_json: bool) -> None:
    print(_document(scenario, results) if as_json else _table(results), flush=True)


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
