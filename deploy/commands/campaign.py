"""``airtune campaign run | show | replay``: measure channels over time and place, look at them, use them again."""

from __future__ import annotations

import argparse
import importlib
import os
from typing import Any

_ACTIONS = ("run", "show", "replay")
_EXAMPLE = """\
example: airtune campaign run examples/campaign/campaign.toml
         airtune campaign show campaigns/corridor
         airtune campaign replay campaigns/corridor --out corridor.json
"""


def add_parser(subparsers: Any) -> None:
    """Add ``campaign`` and its actions to the command line."""
    parser = subparsers.add_parser(
        "campaign",
        help="measure channels over time and place",
        description="Sound the links between an experiment's radios on a schedule, show what was measured, or make it "
        "a channel of the simulator (docs/campaign.md).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name in _ACTIONS:
        _module(name).add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Do what ``args.action`` says; the exit code. Raises AirtuneError."""
    # Numeric libraries' own threads only get into the way of matrices as small as a sounding's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    code: int = _module(args.action).run(args)
    return code


def _module(name: str) -> Any:
    return importlib.import_module(f"deploy.commands.campaign_{name}")
