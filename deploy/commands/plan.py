"""``airtune plan``: LoRA rank and V before training (TSFA offline)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from deploy.options import add_experiment
from protocol.errors import ConfigurationError

_EXAMPLE = """\
example: airtune plan examples/demo.toml
         airtune plan lab.toml --ranks 4,8,16 --out lab-plan --json
"""


def add_parser(subparsers: Any) -> None:
    """Add ``plan`` to the command line."""
    parser = subparsers.add_parser(
        "plan",
        description="Score LoRA ranks by a short pilot and the played online stage (docs/plan.md).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_experiment(parser)
    parser.add_argument("--ranks", metavar="A,B,C", help="candidate ranks (1,2,4,8,16,32)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="also keep plan.json and plan.html here")
    parser.add_argument("--json", action="store_true", help="print one JSON document; progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Find or make the plan, show it. Raises ConfigurationError, DataError, MissingPartError, StorageError."""
    from base_station.planning.page import PAGE, plan_text, write_page
    from base_station.store.files import check_directory
    from deploy.planning.auto import PLANS, find_plan, load_unplanned
    from deploy.planning.planner import RANKS, keep_plan

    ranks = RANKS if args.ranks is None else _ranks(args.ranks)
    if args.out is not None:
        check_directory(args.out)
    plan = find_plan(load_unplanned(args.experiment, args.overrides, ranks), ranks)
    page = write_page(plan, (PLANS / plan.key if args.out is None else args.out) / PAGE)
    if args.out is not None:
        keep_plan(plan, args.out)
    if args.json:
        document = {**msgspec.to_builtins(plan), "rank": plan.best.rank, "V": plan.best.V, "page": str(page)}
        print(msgspec.json.encode(document).decode())
    else:
        print(f"{plan_text(plan)}\npage      {page}")
    return 0


def _ranks(text: str) -> tuple[int, ...]:
    try:
        ranks = tuple(sorted(int(part) for part in text.split(",")))
    except ValueError:
        ranks = ()
    if not ranks or ranks[0] < 1 or ranks[-1] > 256:
        raise ConfigurationError(f"--ranks {text}: must be whole numbers from 1 to 256, by commas, as in 4,8,16")
    if len(set(ranks)) < len(ranks):
        raise ConfigurationError(f"--ranks {text}: each rank only once")
    return ranks
