"""``airtune campaign show``: what a campaign found, as text, page and numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import RunError

_EXAMPLE = """\
example: airtune campaign show campaigns/corridor
         airtune campaign show campaigns/corridor --json --out corridor.html
"""


def add_parser(subparsers: Any) -> None:
    """Add ``show`` to the actions of ``campaign``."""
    parser = subparsers.add_parser(
        "show",
        help="look at what was measured",
        description="Summarise a campaign, also one that is running: gain, SINR, delay spread, Doppler, K factor, path "
        "loss and fading with goodness of fit; plots as one HTML page, soundings as Parquet.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("campaign", metavar="DIR", type=Path, help="campaign directory, as in campaigns/corridor")
    parser.add_argument("--out", metavar="FILE.html", type=Path, help="the page (default: DIR/campaign.html)")
    parser.add_argument("--json", action="store_true", help="print one JSON document: the summary with uncertainties")


def run(args: argparse.Namespace) -> int:
    """Summarise. Raises RunError, ConfigurationError and StorageError."""
    from calibration.campaign.estimates import sounding_grid
    from calibration.campaign.journal import read_plan, read_soundings
    from calibration.campaign.series import link_series
    from calibration.campaign.summary import summarise
    from calibration.campaign.tables import write_tables
    from deploy.campaign_figures import Drawn
    from deploy.campaign_page import PAGE, campaign_text, write_campaign_page
    from deploy.pictures import check_picture
    from radio.limits import experiment_numerology

    if args.out is not None:
        check_picture("--out", args.out, (".html",))
    plan, soundings = read_plan(args.campaign), read_soundings(args.campaign)
    if not soundings:
        raise RunError(f"{args.campaign}: nothing is measured yet; airtune campaign run {args.campaign}")
    grid = sounding_grid(experiment_numerology(plan.experiment))
    summary = summarise(plan, soundings, grid)
    found = (link_series(link, soundings, grid) for link in plan.links)
    page = args.out or args.campaign / PAGE
    write_campaign_page(page, Drawn(summary, [series for series in found if series is not None], soundings, grid))
    tables = write_tables(args.campaign, plan, soundings, summary)
    if args.json:
        document = {**msgspec.to_builtins(summary), "page": str(page), "tables": [str(path) for path in tables]}
        print(msgspec.json.encode(document).decode())
    else:
        print(f"{campaign_text(summary)}\npage  {page}")
    return 0
