"""``airtune demo``: the default experiment, ``examples/demo.toml``."""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path
from typing import Any

from deploy.options import add_output, run_directory
from protocol.errors import ConfigurationError, MissingPartError
from protocol.experiment_file import load_experiment

MAXIMUM_CLIENTS = 64
_EXAMPLE = "example: airtune demo --rounds 3 --json"


def add_parser(subparsers: Any) -> None:
    """Add ``demo`` to the command line."""
    parser = subparsers.add_parser(
        "demo",
        description="Run the default experiment (examples/demo.toml): four edge clients fine-tune a text\n"
        "classifier, every bit of their updates crossing a GNU Radio modem and a simulated fading channel.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", metavar="N", type=int, help="number of rounds")
    parser.add_argument("--clients", metavar="N", type=int, help=f"number of clients, 1 to {MAXIMUM_CLIENTS}")
    parser.add_argument("--set", action="append", dest="overrides", help=argparse.SUPPRESS)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo experiment with the overrides given. Raises ConfigurationError."""
    if args.overrides:
        sets = " ".join(f"--set {text}" for text in args.overrides)
        raise ConfigurationError(f"demo takes no --set; use: airtune run examples/demo.toml {sets}")
    overrides = [] if args.rounds is None else [f"experiment.rounds={args.rounds}"]
    if args.clients is not None:
        overrides.append(f"clients.members={members(args.clients)}")
    experiment = load_experiment(demo_file(), overrides)
    directory = run_directory(experiment.experiment.name, args.out, resume=False)
    from deploy.testbed import run_testbed

    return run_testbed(experiment, directory, resume=False, as_json=args.json)


def demo_file() -> Path:
    """``examples/demo.toml`` of the source tree, or as installed. Raises MissingPartError."""
    source = Path(__file__).resolve().parents[2]
    installed = Path(sysconfig.get_path("data"), "share", "airtune", "examples", "demo.toml")
    candidates = [source / "examples" / "demo.toml"] if (source / "pyproject.toml").is_file() else []
    for path in (*candidates, installed):
        if path.is_file():
            return path
    raise MissingPartError(f"{installed}: the demo experiment is missing; install airtune again")


def members(count: int) -> str:
    """``count`` clients as TOML, spread evenly over the distances of the demo's own (its own for their number)."""
    if not 1 <= count <= MAXIMUM_CLIENTS:
        raise ConfigurationError(f"--clients {count}: must be 1 to {MAXIMUM_CLIENTS}")
    own = load_experiment(demo_file()).clients.members
    distances_m = [member.distance_m for member in own if member.distance_m is not None]
    if count != len(own):
        nearest_m, farthest_m = min(distances_m), max(distances_m)
        step_m = (farthest_m - nearest_m) / max(1, count - 1)
        distances_m = [nearest_m + i * step_m for i in range(count)]
    tables = [f'{{name = "edge-{i}", distance_m = {distance_m:.1f}}}' for i, distance_m in enumerate(distances_m, 1)]
    return f"[{', '.join(tables)}]"
