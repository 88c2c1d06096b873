"""``airtune link simulate | show``: measure the radio link, and look at what a run received."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

_ACTIONS = ("simulate", "show")
_EXAMPLE = """\
example: airtune link simulate --snr-db 0:30:2 --mcs auto --plot link.png
         airtune link show runs/demo --round 3 --client edge-2
"""


def add_parser(subparsers: Any) -> None:
    """Add ``link`` and its actions to the command line."""
    parser = subparsers.add_parser(
        "link",
        help="measure the radio link, or look at a burst of a run",
        description="Sweep the simulated link, or show one received burst of a run (docs/link.md).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name in _ACTIONS:
        _module(name).add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Do what ``args.action`` says; the exit code. Raises AirtuneError."""
    code: int = _module(args.action).run(args)
    return code


def _module(name: str) -> Any:
    return importlib.import_module(f"deploy.commands.link_{name}")
