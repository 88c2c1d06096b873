"""``airtune base-station``: the base station of an experiment whose clients run elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deploy.options import add_experiment, add_output, add_resume, planned_experiment_of, run_directory
from protocol.errors import ConfigurationError

_EXAMPLE = "example: airtune base-station lab.toml --keys lab-keys --set clients.control_address=tcp://0.0.0.0:5600"


def add_parser(subparsers: Any) -> None:
    """Add ``base-station`` to the command line."""
    parser = subparsers.add_parser(
        "base-station",
        description="Run the base station of an experiment and wait for its clients (airtune client).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_experiment(parser)
    add_output(parser)
    add_resume(parser)
    parser.add_argument("--keys", metavar="DIR", type=Path, help="directory of key files (default: clients.keys_dir)")


def run(args: argparse.Namespace) -> int:
    """Check everything that can be checked without torch, then run the base station."""
    experiment, plan = planned_experiment_of(args)
    keys = args.keys or experiment.clients.keys_dir
    if keys is None:
        raise ConfigurationError("--keys DIR is missing; make keys with: airtune keys EXPERIMENT.toml --out DIR")
    directory = run_directory(experiment.experiment.name, args.out, args.resume)
    from deploy.testbed import run_station

    return run_station(experiment, directory, Path(keys), resume=args.resume, as_json=args.json, plan=plan)
