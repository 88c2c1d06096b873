"""``airtune campaign run``: sound links on a schedule; a campaign that was stopped goes on."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deploy.options import add_overrides
from protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from calibration.campaign.journal import Journal
    from calibration.campaign.plan import CampaignPlan

CAMPAIGNS = Path("campaigns")
_EXAMPLE = """\
example: airtune campaign run examples/campaign/campaign.toml
         airtune campaign run lab.toml --interval-s 5 --duration-s 600 --position edge-1=12,3,1.5
         airtune campaign run lab.toml --links every-pair --record-iq --out campaigns/lab
         airtune campaign run campaigns/lab                  (goes on with a campaign that was stopped)
"""
_POSITION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,47})(?:@([0-9.]+))?=([-+0-9.eE,]+)")


def add_parser(subparsers: Any) -> None:
    """Add ``run`` to the actions of ``campaign``."""
    parser = subparsers.add_parser(
        "run",
        help="sound links on a schedule",
        description="Sound every client to the base station, or every pair, sweep after sweep, from this machine. "
        "Every finished sounding is on the disk before the next begins.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="EXPERIMENT.toml|CAMPAIGN.toml|DIR", type=Path,
        help="an experiment, with a [campaign] table or without; or a campaign's directory, to go on with it",
    )  # fmt: skip
    add_overrides(parser, "one key, as in --set campaign.interval_s=5")
    parser.add_argument("--links", choices=("to-base-station", "every-pair"), help="what is sounded (to-base-station)")
    parser.add_argument("--interval-s", metavar="S", type=float, help="from sweep to sweep (10)")
    parser.add_argument("--duration-s", metavar="S", type=float, help="of all sweeps (300)")
    parser.add_argument(
        "--position", metavar="RADIO[@S]=X,Y[,Z]", action="append", default=[], dest="positions",
        help="where a radio is (from S seconds on): metres east, north and up; may be given several times",
    )  # fmt: skip
    parser.add_argument("--notes", metavar="TEXT", help="kept with the campaign")
    parser.add_argument("--record-iq", action="store_true", help="keep the samples as SigMF recordings in DIR/iq")
    parser.add_argument("--out", metavar="DIR", type=Path, help="campaign directory (campaigns/NAME, numbered)")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end; progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Measure what is missing. Raises ConfigurationError, RunError, StorageError and what the radios raise."""
    from calibration.campaign.estimates import sounding_grid
    from calibration.campaign.run import run_campaign
    from calibration.campaign.summary import summarise
    from calibration.campaign.tables import write_tables
    from deploy.campaign_progress import open_campaign_progress
    from radio.limits import experiment_numerology

    with _open(args) as journal:
        print(f"airtune: campaign in {journal.directory}", file=sys.stderr, flush=True)
        try:
            with open_campaign_progress(journal.plan, len(journal.soundings), sys.stderr) as progress:
                run_campaign(journal, progress.sounded, progress.warn)
        except BaseException:
            _say_how_to_go_on(journal, begun=not args.source.is_dir())
            raise
        grid = sounding_grid(experiment_numerology(journal.plan.experiment))
        summary = summarise(journal.plan, journal.soundings, grid)
        written = write_tables(journal.directory, journal.plan, journal.soundings, summary)
        document = _document(journal, written)
    if args.json:
        print(msgspec.json.encode(document).decode())
    else:
        print(f"{document['detected']} of {document['soundings']} soundings heard in {document['sweeps']} sweeps; "
              f"look at them: airtune campaign show {journal.directory}")  # fmt: skip
    return 0


def _say_how_to_go_on(journal: Journal, *, begun: bool) -> None:
    """A campaign just begun that has not sounded anything leaves nothing, least of all a plan that cannot work."""
    if begun and not journal.soundings:
        shutil.rmtree(journal.directory, ignore_errors=True)
        print("airtune: nothing was sounded and nothing is kept", file=sys.stderr)
    else:
        print(f"airtune: go on with: airtune campaign run {journal.directory}", file=sys.stderr)


def _document(journal: Journal, written: list[Path]) -> dict[str, Any]:
    plan, soundings = journal.plan, journal.soundings
    return {
        "campaign_dir": str(journal.directory),
        "name": plan.name,
        "driver": plan.experiment.radio.driver,
        "sweeps": plan.sweeps,
        "interval_s": plan.campaign.interval_s,
        "links": [{"transmitter": link.transmitter, "receiver": link.receiver} for link in plan.links],
        "soundings": len(soundings),
        "detected": sum(sounding.detected for sounding in soundings),
        "files": [str(path) for path in written],
    }


def _open(args: argparse.Namespace) -> Journal:
    from calibration.campaign.journal import Journal

    if args.source.is_dir():
        options = (args.links, args.interval_s, args.duration_s, args.notes, args.out)
        if any(value is not None for value in options) or args.overrides or args.positions or args.record_iq:
            raise ConfigurationError(f"{args.source}: a campaign goes on as it was begun; give no options but --json")
        return Journal(args.source)
    plan = _plan(args)
    return Journal.create(args.out or _free(plan.name), plan)


def _plan(args: argparse.Namespace) -> CampaignPlan:
    from calibration.campaign.plan import load_plan

    options = {name: getattr(args, name) for name in ("links", "interval_s", "duration_s")}
    overrides = [*args.overrides, *(f"campaign.{name}={value}" for name, value in options.items() if value is not None)]
    if args.notes is not None:
        overrides.append(f"campaign.notes={msgspec.json.encode(args.notes).decode()}")
    if args.record_iq:
        overrides.append("radio.record_iq=true")
    if args.positions:
        stops = ", ".join(_stop(text) for text in args.positions)
        overrides.append(f"campaign.stops=[{stops}]")
    return load_plan(args.source, overrides)


def _stop(text: str) -> str:
    """``--position``'s argument as an inline TOML table."""
    match = _POSITION.fullmatch(text)
    try:
        position = [float(part) for part in match[3].split(",")] if match else []
        from_s = float(match[2] or 0.0) if match else 0.0
    except ValueError:
        position = []
    if match is None or len(position) not in (2, 3):
        raise ConfigurationError(f"--position {text}: expected RADIO=X,Y or RADIO=X,Y,Z, as in edge-1=12,3,1.5")
    return f'{{ radio = "{match[1]}", position_m = {position}, from_s = {from_s} }}'


def _free(name: str) -> Path:
    number = 1
    while (path := CAMPAIGNS / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path
