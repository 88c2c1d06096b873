"""``airtune campaign replay``: make a campaign a channel of the simulator and of ``airtune plan``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

_EXAMPLE = """\
example: airtune campaign replay campaigns/corridor --out corridor.json
         airtune run lab.toml --set channel.model=replay --set channel.replay_file=corridor.json
         airtune plan lab.toml --set channel.model=replay --set channel.replay_file=corridor.json
"""


def add_parser(subparsers: Any) -> None:
    """Add ``replay`` to the actions of ``campaign``."""
    parser = subparsers.add_parser(
        "replay",
        help="use what was measured as a channel",
        description="Write a channel file: round t of a run, simulated or planned, meets sweep t of the campaign.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("campaign", metavar="DIR", type=Path, help="campaign directory, as in campaigns/corridor")
    parser.add_argument("--receiver", metavar="NAME", default="base-station", help="whose soundings (base-station)")
    parser.add_argument("--out", metavar="FILE.json", type=Path, help="the channel file (default: DIR/replay.json)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Write the file. Raises ConfigurationError, RunError and StorageError."""
    from calibration.campaign.journal import read_plan, read_soundings
    from calibration.campaign.replay import make_replay
    from protocol.files import write_atomically

    made = make_replay(read_plan(args.campaign), read_soundings(args.campaign), args.receiver)
    path = args.out or args.campaign / "replay.json"
    write_atomically(path, msgspec.json.encode(made.content) + b"\n")
    content = made.content
    clients = [
        {"name": name, "mean_gain_db": link.gain_db, "missed": made.missed[name], "unexplained": made.unexplained[name]}
        for name, link in content.links.items()
    ]
    document = {
        "file": str(path), "campaign": content.campaign, "receiver": content.receiver, "rounds": content.rounds,
        "interval_s": content.interval_s, "clients": clients,
    }  # fmt: skip
    if args.json:
        print(msgspec.json.encode(document).decode())
        return 0
    for name, link in content.links.items():
        missed, left = made.missed[name], made.unexplained[name]
        print(f"{name}: {link.gain_db:.1f} dB, {missed} not heard, taps leave out {left:.2%}")
    print(f"{content.rounds} rounds; use them: --set channel.model=replay --set channel.replay_file={path}")
    return 0
