"""``airtune doctor``: what is wrong with this machine and its Plutos, why it matters, and what mends it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deploy.desk import Desk, add_desk, desk_of
from deploy.options import RUNS
from protocol.configuration import HARDWARE_DRIVERS
from protocol.errors import CheckFailedError, CheckWarnedError, ConfigurationError

if TYPE_CHECKING:
    from calibration.doctor.examination import Examination
    from calibration.doctor.findings import Finding
    from calibration.occupancy import Occupancy

_EXAMPLE = """\
example: airtune doctor                                   this machine alone
         airtune doctor --uri ip:192.168.2.1 --uri ip:192.168.3.1
         airtune doctor lab.toml --keys lab-keys --json
         airtune doctor --uri ip:192.168.2.1 --scan 2.40e9:2.48e9
Most checks of a Pluto send a short tone, within the limits of the experiment's radio profile (else: by cable, at
-20 dB); --no-transmit leaves those out."""


def add_parser(subparsers: Any) -> None:
    """Add ``doctor`` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        description="Check this machine and its Plutos; each finding comes with the measured value, why it matters "
        "and what mends it (docs/doctor.md). Exit code 14 after a warning, 15 after a failure.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_desk(parser)
    parser.add_argument("--keys", metavar="DIR", type=Path, help="key files to check (of an experiment: its keys_dir)")
    parser.add_argument("--no-transmit", action="store_true", help="leave out all checks that send something")
    parser.add_argument("--scan", metavar="F1:F2", help="also show who is on the band from F1 to F2, in hertz")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(args: argparse.Namespace) -> int:
    """Examine and print. Raises CheckWarnedError or CheckFailedError by the worst finding, ConfigurationError."""
    from calibration.doctor.findings import worst

    desk = desk_of(args)
    band_hz = None if args.scan is None else _band(args.scan, desk)
    findings = []
    for finding in _examination(args, desk).findings():
        findings.append(finding)
        if not args.json:
            print(_lines(finding), flush=True)
    scanned = None if band_hz is None else _scan(desk, band_hz)
    if args.json:
        print(_document(worst(findings), findings, scanned))
    elif scanned is not None:
        print(_picture(scanned))
    sys.stdout.flush()
    for verdict, error, words in (("fail", CheckFailedError, "failed"), ("warn", CheckWarnedError, "warned")):
        concerned = [f"{f.check} ({f.subject})" for f in findings if f.verdict == verdict]
        if concerned:
            raise error(f"doctor: {len(concerned)} of {len(findings)} checks {words}: {', '.join(concerned)}")
    return 0


def _examination(args: argparse.Namespace, desk: Desk) -> Examination:
    from calibration.doctor.examination import Examination
    from calibration.doctor.host import Host
    from calibration.doctor.libraries import Needs

    experiment = desk.experiment
    keys = args.keys
    if keys is None and experiment is not None and experiment.clients.keys_dir is not None:
        keys = Path(experiment.clients.keys_dir)
    driver = "" if experiment is None else experiment.radio.driver
    plutos = driver in HARDWARE_DRIVERS if experiment is not None else bool(desk.uris)
    return Examination(
        host=Host(runs=RUNS, keys=keys),
        needs=Needs(plutos=plutos, gr_iio=driver == "gr-iio", gnu_radio=driver not in ("", "abstract")),
        profile=desk.radio,
        uris=desk.uris,
        calibrations=desk.calibrations,
        transmit=not args.no_transmit,
    )


def _band(text: str, desk: Desk) -> tuple[float, float]:
    """Ends of ``--scan``. Raises ConfigurationError."""
    low, _, high = text.partition(":")
    try:
        low_hz, high_hz = float(low), float(high)
    except ValueError as error:
        raise ConfigurationError(f"--scan {text}: is written as 2.40e9:2.48e9, in hertz") from error
    if not 1e6 <= low_hz < high_hz <= 1e11:
        raise ConfigurationError(f"--scan {text}: two frequencies in hertz, the lower one first, as in 2.40e9:2.48e9")
    if not desk.uris:
        raise ConfigurationError("--scan: needs a Pluto that listens; name it with --uri or an experiment")
    return low_hz, high_hz


def _scan(desk: Desk, band_hz: tuple[float, float]) -> Occupancy:
    """By the base station's Pluto, whose transmitter stays off."""
    from calibration.doctor.examination import scan
    from radio.pluto.pluto import Pluto
    from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, Limits

    with Pluto(next(iter(desk.uris.values())), Limits(max_transmit_gain_db=LEAST_TRANSMIT_GAIN_DB)) as pluto:
        return scan(pluto, desk.radio, *band_hz)


def _lines(finding: Finding) -> str:
    text = f"{finding.verdict.upper():5} {finding.subject:14} {finding.check:14} {finding.measured}"
    if finding.verdict in ("warn", "fail"):
        text += f"\n      why   {finding.why}"
        if finding.mend:
            text += f"\n      mend  {finding.mend}"
    return text


def _document(verdict: str, findings: list[Finding], scanned: Occupancy | None) -> str:
    band = None
    if scanned is not None:
        band = {
            "frequency_hz": scanned.frequency_hz.tolist(),
            "power_dbfs": scanned.power_dbfs.tolist(),
            "occupied": scanned.occupied.tolist(),
            "channel_hz": scanned.channel_hz,
            "noise_dbfs": scanned.noise_dbfs,
        }
    document = {"verdict": verdict, "findings": findings, "scan": band}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _picture(scanned: Occupancy) -> str:
    from calibration.occupancy import bars

    width = min(100, shutil.get_terminal_size().columns) if os.isatty(1) else 80
    used = float((scanned.occupied > 0.05).mean())
    heading = f"band: power above noise, and tenths of the time in use; {100.0 * used:.0f} % of it is in use"
    return "\n".join([heading, *bars(scanned, width)])
