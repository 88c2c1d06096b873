"""``airtune link show``: what a recorded burst looked like, and what became of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.pictures import check_picture
from protocol.errors import ConfigurationError
from protocol.files import write_atomically

if TYPE_CHECKING:
    from base_station.report.burst_page import BurstPage
    from base_station.report.received import ReceivedBurst

FORMATS = (".png", ".html")
PICTURES = "link"
_EXAMPLE = """\
example: airtune link show runs/demo                                    (what there is)
         airtune link show runs/demo --round 3 --client edge-2          (its last data burst of the round)
         airtune link show runs/demo --round 3 --client edge-2 --window 7 --out burst.html
"""


def add_parser(subparsers: Any) -> None:
    """Add ``show`` to the actions of ``link``."""
    parser = subparsers.add_parser(
        "show",
        help="look at a received burst of a run",
        description="Plot spectrum, constellation, channel estimate, soft bits and outcome of a recorded burst; "
        "without --round or --client list the bursts there are, each with its received SNR: mean over its own RBs, "
        "at the power it was sent with.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory, as in runs/demo")
    parser.add_argument("--round", metavar="T", type=int, dest="round_index", help="round, from 1")
    parser.add_argument("--client", metavar="N", help="name of the client")
    parser.add_argument(
        "--window", metavar="W", type=int, help="window of the round (default: its last data burst, else its sounding)"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help=f"{' or '.join(FORMATS)} (default: RUN/{PICTURES}/...)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document: outcome and signals, or the list")


def run(args: argparse.Namespace) -> int:
    """Show a burst, or list them. Raises ConfigurationError, RunError and StorageError."""
    # matplotlib takes half a second to import: --help must not pay for it.
    from base_station.report.burst_page import burst_page
    from base_station.report.lookup import choose_burst, find_bursts, open_run

    single = args.round_index is not None and args.client is not None
    if not single and (args.window is not None or args.out is not None):
        raise ConfigurationError("--window and --out need --round and --client")
    if args.out is not None:
        check_picture("--out", args.out, FORMATS)
    with open_run(args.run) as store, store.snapshot():
        bursts = find_bursts(store, args.round_index, args.client)
        burst = choose_burst(bursts, args.window) if single else None
        if burst is None:
            _list(bursts, args.json)
            return 0
        page = burst_page(store, burst)
    path = args.out or _default_path(args.run, burst)
    write_atomically(path, page.html() if path.suffix.lower() == ".html" else page.png())
    _tell(page, path, args.json)
    return 0


def _default_path(run: Path, burst: ReceivedBurst) -> Path:
    r = burst.record
    return run / PICTURES / f"round-{r.round_index:04d}-{r.client}-window-{r.window_index:02d}.png"


def _list(bursts: Sequence[ReceivedBurst], as_json: bool) -> None:
    header = ("round", "window", "client", "kind", "MCS", "RBs", "received SNR", "blocks", "failed", "")
    if as_json:
        print(msgspec.json.encode({"bursts": [b.record for b in bursts]}).decode())
        return
    rows = [header, *(_cells(b) for b in bursts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    print("\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows))


def _cells(burst: ReceivedBurst) -> tuple[str, ...]:
    r = burst.record
    return (
        str(r.round_index), str(r.window_index), r.client, r.kind, r.mcs, f"{r.rb_start}-{r.rb_start + r.rb_count - 1}",
        f"{r.snr_db:.1f} dB" if r.detected else "", str(r.blocks) if r.blocks else "",
        str(r.blocks_failed) if r.blocks else "", "" if r.detected else "not detected",
    )  # fmt: skip


def _tell(page: BurstPage, path: Path, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(_document(page, path)).decode())
        return
    print(page.title)
    width = max(len(label) for label, _ in page.outcome)
    for label, text in page.outcome:
        print(f"  {label.ljust(width)}  {text}")
    if page.recording is not None:
        print(page.recording)
    print(path)


def _document(page: BurstPage, path: Path) -> dict[str, Any]:
    from base_station.report.burst_panels import bin_frequencies_khz

    burst, psd_db = page.burst, page.psd_db
    return {
        "picture": str(path),
        "burst": burst.record,
        "iq": page.iq,
        "passes": page.passes,
        "recording": str(page.recording) if page.recording is not None else None,
        "constellation": _pairs(burst.points),
        "ideal_points": _pairs(burst.ideal_points),
        "channel_khz": burst.frequencies_khz(page.numerology).tolist(),
        "channel_db": burst.channel_db.tolist(),
        "sinr_db": burst.sinr_db.tolist(),
        "sounded_sinr_db": page.sounded_sinr_db.tolist(),
        "soft_bits": burst.soft_bits,
        "spectrum_khz": bin_frequencies_khz(len(psd_db), page.numerology).tolist() if len(psd_db) else [],
        "spectrum_db": psd_db.tolist(),
    }


def _pairs(points: NDArray[np.complex64]) -> list[list[float]]:
    return [[float(p.real), float(p.imag)] for p in points]
