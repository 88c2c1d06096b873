"""``airtune allocate``: TSFA online, one round, from a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from base_station.tsfa.problem import Allocation, load_instance
from base_station.tsfa.solver import solve
from protocol.errors import ConfigurationError

EXAMPLE = """\
example instance:
  {"rb_total": 28, "guard_rb": 1, "V": 1.0, "latency_model": "per-client", "queue_s": 0.0, "deadline_s": 6.0,
   "clients": [{"name": "a", "weight": 0.5, "queue_s": 0.3, "compute_s": 1.2, "overhead_s": 0.0,
                "rate_bps": [1.1e5, 2.2e5], "curve": [[0, 1.0], [20000, 0.4], [40000, 0.1]]}]}
  rate_bps_at, in the place of rate_bps, is the goodput for each number of RBs and first RB: [[1e4, 9e4, ...], ...]

example: airtune allocate instance.json --json
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``allocate`` to the command line."""
    parser = subparsers.add_parser(
        "allocate",
        help="decide resource blocks and bits of one round",
        description="Solve one round's allocation of resource blocks and bits (docs/allocate.md).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("instance", metavar="INSTANCE.json", help="the round, as JSON; - reads standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Read the instance, solve it, print the grants. Raises ConfigurationError for a bad file."""
    origin = "standard input" if args.instance == "-" else args.instance
    allocation = solve(load_instance(_read(args.instance), origin))
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(allocation)).decode())
    else:
        print(_table(allocation))
    return 0


def _read(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:
            raise ConfigurationError("-: standard input is closed")
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error


def _table(allocation: Allocation) -> str:
    width = max([len(client.name) for client in allocation.clients] + [len("client")])
    lines = [f"{'client':{width}}  {'RBs':>9}  {'bits':>10}  {'unsent energy':>13}  {'latency s':>9}"]
    for client in allocation.clients:
        last = client.rb_start + client.rb_count - 1
        blocks = f"{client.rb_start}-{last}" if client.rb_count else "silent"
        figures = f"{client.bits:>10.0f}  {client.energy:>13.4g}  {client.latency_s:>9.3f}"
        lines.append(f"{client.name:{width}}  {blocks:>9}  {figures}")
    lines.append(
        f"objective {allocation.objective:.6g}, lower bound {allocation.lower_bound:.6g}, gap {allocation.gap:.2%}, "
        f"{'exact' if allocation.exact else 'not exact'}, solved in {1000 * allocation.solve_s:.1f} ms"
    )
    return "\n".join(lines)
