"""``airtune keys``: key files for the base station and every client of an experiment."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from deploy.options import add_experiment, experiment_of
from protocol.keys import make_keys

_EXAMPLE = """example: airtune keys lab.toml --out lab-keys
A client's machine needs NAME.key, NAME.pub and base-station.pub; base-station.key stays with the base station."""


def add_parser(subparsers: Any) -> None:
    """Add ``keys`` to the command line."""
    parser = subparsers.add_parser(
        "keys",
        description="Make CURVE keys for the base station and every client of an experiment.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_experiment(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="directory of the key files, mode 0700")
    parser.add_argument("--force", action="store_true", help="replace keys that are there already")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Make the keys and say where they are."""
    names = [member.name for member in experiment_of(args).clients.members]
    written = make_keys(args.out, names, overwrite=args.force)
    if args.json:
        print(json.dumps({"directory": str(args.out), "files": [str(path) for path in written]}, indent=2))
    else:
        print(f"keys for the base station and {len(names)} clients are in {args.out}")
    return 0
