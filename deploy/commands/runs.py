"""``airtune runs``: list the runs of a directory, or export one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from base_station.store.export import EXPORTERS
from base_station.store.listing import RunLine, list_runs
from base_station.store.run_store import RunStore
from deploy.options import RUNS

EXAMPLE = """\
example: airtune runs
         airtune runs export runs/demo --format parquet --out exported
         airtune runs export runs/demo --format peft --out adapter
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``runs`` and its action ``export`` to the command line."""
    parser = subparsers.add_parser(
        "runs",
        help="list the runs of a directory",
        description="List the runs of a directory, or export the records of one (docs/runs.md).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dir", type=Path, default=RUNS, help="directory of runs (default: runs)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    export = parser.add_subparsers(dest="action").add_parser(
        "export", help="write the records of a run as CSV or Parquet, or its adapter for peft", epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    export.add_argument("run", metavar="RUN", type=Path, help="run directory, as in runs/demo")
    export.add_argument("--format", choices=sorted(EXPORTERS), default="csv", help="file format (default: csv)")
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="directory the files are written to")
    # A default here would undo a --json given before the action.
    export.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """List, or export. Raises RunError and StorageError."""
    if args.action == "export":
        with RunStore.read(args.run) as store:
            written = EXPORTERS[args.format](store, args.out)
        _print(args.json, {"files": [str(path) for path in written]}, "\n".join(map(str, written)))
        return 0
    lines = list_runs(args.dir)
    _print(args.json, {"runs": lines}, _table(lines) if lines else f"no runs in {args.dir}")
    return 0


def _print(as_json: bool, document: dict[str, Any], text: str) -> None:
    print(msgspec.json.encode(document).decode() if as_json else text)


def _table(lines: Sequence[RunLine]) -> str:
    header = ("name", "state", "rounds", "accuracy", "airtime", "started")
    rows = [header, *map(_cells, lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _cells(line: RunLine) -> tuple[str, ...]:
    if line.reason:
        return (line.name, line.state, "", "", "", line.reason)
    accuracy = "" if line.accuracy is None else f"{line.accuracy:.3f}"
    airtime = f"{line.airtime_s:.2f} s" if line.iq else f"{line.airtime_s:.2f} s, no IQ"
    return (line.name, line.state, f"{line.rounds_done} of {line.rounds}", accuracy, airtime, line.started)
