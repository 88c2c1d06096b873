"""``airtune report``: write the report of a run anew."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

EXAMPLE = "example: airtune report runs/demo"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``report`` to the command line."""
    parser = subparsers.add_parser(
        "report",
        help="write the report of a run",
        description="Write report.html and report_data/ of a run, finished, running or stopped (docs/report.md).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory, as in runs/demo")
    parser.add_argument("--json", action="store_true", help="print one JSON document: the page's path, and the summary")


def run(args: argparse.Namespace) -> int:
    """Write the report, say where it is. Raises RunError and StorageError."""
    # matplotlib takes half a second to import: --help must not pay for it.
    from base_station.report import write_report
    from base_station.store.run_store import RunStore
    from base_station.store.summary import summary

    path = write_report(args.run)
    if args.json:
        with RunStore.read(args.run) as store:
            print(msgspec.json.encode({"report": str(path), "summary": summary(store)}).decode())
    else:
        print(path)
    return 0
