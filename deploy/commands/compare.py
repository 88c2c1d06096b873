"""``airtune compare``: experiments, runs or a sweep side by side; what is missing is run first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.options import RUNS, add_overrides
from protocol.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from base_station.comparison.measures import RunCurve
    from base_station.comparison.table import Comparison
    from deploy.sweeps.one_run import Outcome
    from deploy.sweeps.planned import PlannedRun
    from deploy.sweeps.progress import SweepDisplay

_PROGRESS_S = 1.0
_EXAMPLE = """\
example: airtune compare runs/soft runs/dense
         airtune compare soft.toml dense.toml --seeds 1,2,3,4,5 --out runs/soft-or-dense
         airtune compare examples/study/screening.toml
"""


def add_parser(subparsers: Any) -> None:
    """Add ``compare`` to the command line."""
    parser = subparsers.add_parser(
        "compare",
        description="Compare runs, experiments or a sweep; runs that are missing are made first (docs/compare.md).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources", metavar="EXPERIMENT.toml|RUN|SWEEP.toml", nargs="+", type=Path,
        help="experiment files and run directories, or one sweep file",
    )  # fmt: skip
    add_overrides(parser, "one key of every experiment")
    parser.add_argument("--seeds", metavar="A,B,C", help="run each experiment with these seeds (its own; the sweep's)")
    parser.add_argument("--reference", metavar="METHOD", help="what the others are compared with (the first)")
    parser.add_argument(
        "--target", metavar="ACCURACY", type=float,
        help="validation accuracy whose rounds and airtime are told (the reference's last, less a point)",
    )  # fmt: skip
    parser.add_argument(
        "--airtime", metavar="S", type=float,
        help="airtime in seconds at which accuracies are compared (the least that any run took)",
    )  # fmt: skip
    parser.add_argument("--jobs", metavar="N", type=int, help="runs at a time on this machine (one per two cores)")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a Ray cluster instead: its address, auto or local")
    parser.add_argument("--out", metavar="DIR", type=Path, help="directory of runs, tables and page (runs/NAME)")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end; progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Plan, run what is missing, compare. Raises ConfigurationError, RunError, StorageError, MissingPartError."""
    from base_station.comparison.table import compare
    from deploy.sweeps.one_run import Outcome
    from deploy.sweeps.planned import default_out, make_plan

    _check_options(args)
    out = args.out if args.out is not None else default_out(args.sources, RUNS)
    plan = make_plan(args.sources, args.overrides, _seeds(args.seeds), out)
    reference = args.reference if args.reference is not None else plan.reference
    if reference is not None and reference not in plan.methods:
        origin = "--reference" if args.reference is not None else f"{args.sources[0]}: sweep.reference"
        raise ConfigurationError(
            f"{origin}: no method '{reference}' to compare with; there are: {', '.join(plan.methods)}"
        )
    broken = [Outcome(run, fault) for run in plan.runs if (fault := run.fault)]
    sound = [run for run in plan.runs if not any(run is outcome.run for outcome in broken)]
    failed = _run_missing(sound, args, out)
    curves, unread = _curves(sound)
    problems = [*broken, *failed, *unread]
    if curves:
        comparison = compare(
            plan.name, {method: curves.get(method, []) for method in plan.methods}, reference,
            plan.target if args.target is None else args.target,
            plan.equal_airtime_s if args.airtime is None else args.airtime,
        )  # fmt: skip
        _show(comparison, _write(comparison, out), args.json)
    if problems:
        raise RunError(_told(problems, len(plan.runs)))
    return 0


def _check_options(args: argparse.Namespace) -> None:
    if args.target is not None and not 0.0 < args.target < 1.0:
        raise ConfigurationError(f"--target {args.target:g}: must lie between 0 and 1")
    if args.airtime is not None and not args.airtime > 0.0:
        raise ConfigurationError(f"--airtime {args.airtime:g}: must be above 0")
    if args.jobs is not None and args.jobs < 1:
        raise ConfigurationError(f"--jobs {args.jobs}: must be at least 1")
    if args.jobs is not None and args.ray is not None:
        raise ConfigurationError("--jobs counts the runs of this machine; with --ray the cluster's cores decide")


def _told(problems: Sequence[Outcome], runs: int) -> str:
    first = problems[0]
    where = "" if str(first.run.directory) in first.problem else f"{first.run.directory}: "
    return (
        f"{len(problems)} of {runs} runs failed; the first: {where}{first.problem}; the same command goes on with them"
    )


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(f"--seeds {text}: must be whole numbers, by commas, as in 1,2,3") from None
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ConfigurationError(f"--seeds {text}: seeds must be 0 or more, and each only once")
    return seeds


def _run_missing(runs: Sequence[PlannedRun], args: argparse.Namespace, out: Path) -> list[Outcome]:
    """Make the runs that are not complete; those that failed."""
    from base_station.store.files import storage_errors
    from deploy.sweeps.progress import open_display

    missing = [run for run in runs if not run.finished]
    if not missing:
        return []
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with open_display(runs, missing, sys.stderr) as display:
        ended = []
        for outcome in _outcomes(missing, args, out, display):
            display.ended(outcome)
            ended.append(outcome)
    return [outcome for outcome in ended if outcome.problem]


def _outcomes(
    missing: list[PlannedRun], args: argparse.Namespace, out: Path, display: SweepDisplay
) -> Iterator[Outcome]:
    if args.ray is not None:
        from deploy.sweeps.on_ray import make_runs_on_ray

        return make_runs_on_ray(missing, args.ray, out, display.look, _PROGRESS_S)
    from deploy.sweeps.local import default_jobs, make_runs

    return make_runs(missing, default_jobs() if args.jobs is None else args.jobs, display.look, _PROGRESS_S)


def _curves(runs: Sequence[PlannedRun]) -> tuple[dict[str, list[RunCurve]], list[Outcome]]:
    """What there is of the runs, by method, and those that cannot be read."""
    from base_station.comparison.measures import read_curve
    from deploy.sweeps.one_run import Outcome

    curves: dict[str, list[RunCurve]] = {}
    unread = []
    for run in runs:
        if run.started:
            try:
                curve = read_curve(run.directory)
            except RunError as error:
                unread.append(Outcome(run, str(error)))
            else:
                curves.setdefault(run.method, []).append(curve)
    return curves, unread


def _write(comparison: Comparison, out: Path) -> list[Path]:
    from base_station.comparison.page import write_page
    from base_station.comparison.text import write_latex, write_tables
    from base_station.store.files import storage_errors

    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    return [
        write_page(comparison, out / "comparison.html"),
        *write_tables(comparison, out),
        write_latex(comparison, out / "comparison.tex"),
    ]


def _show(comparison: Comparison, written: list[Path], as_json: bool) -> None:
    import msgspec

    from base_station.comparison.terminal import print_comparison
    from base_station.comparison.text import document

    if as_json:
        print(msgspec.json.encode({**document(comparison), "files": [str(path) for path in written]}).decode())
        return
    print_comparison(comparison, sys.stdout)
    print("written   " + ", ".join(map(str, written)))
