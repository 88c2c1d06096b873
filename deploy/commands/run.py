"""``airtune run``: a whole testbed on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from deploy.options import add_experiment, add_output, add_resume, planned_experiment_of, run_directory

_EXAMPLE = "example: airtune run examples/demo.toml --set experiment.seed=2 --out runs/seed-2"


def add_parser(subparsers: Any) -> None:
    """Add ``run`` to the command line."""
    parser = subparsers.add_parser(
        "run",
        description="Run an experiment on this machine: base station, a process per client, and the simulated radio.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_experiment(parser)
    add_output(parser)
    add_resume(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything that can be checked without torch, then run."""
    experiment, plan = planned_experiment_of(args)
    directory = run_directory(experiment.experiment.name, args.out, args.resume)
    from deploy.testbed import run_testbed

    return run_testbed(experiment, directory, resume=args.resume, as_json=args.json, plan=plan)
