"""``airtune calibrate``: measure Plutos that are joined by cables, and keep what drivers need to know."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deploy.desk import Desk, add_desk, desk_of, open_plutos
from protocol.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from calibration.procedure import Outcome, Plan
    from radio.calibration_file import Calibration
    from radio.pluto.pluto import Pluto

_EXAMPLE = """\
example: airtune calibrate lab.toml --cable-uncertainty-db 0.3
         airtune calibrate --uri ip:192.168.2.1 --uri ip:192.168.3.1 --carrier-hz 915e6 --cable-db 50
The base station's Pluto comes first; every client's TX is cabled to its RX through at least 30 dB of attenuation."""
LEAST_CABLE_DB = 30.0
"""What a Pluto at full power needs before it a receiver that shall live."""


def add_parser(subparsers: Any) -> None:
    """Add ``calibrate`` to the command line."""
    parser = subparsers.add_parser(
        "calibrate",
        description="Measure carrier offset, gain steps, images, noise and the cables between Plutos; keep it all in "
        "one file per Pluto, which its driver uses by itself (docs/calibration.md).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_desk(parser)
    parser.add_argument(
        "--cable-db", metavar="A", type=float,
        help="attenuation of every cable (of an experiment: radio.cable_attenuation_db); without it no channel gain",
    )  # fmt: skip
    parser.add_argument(
        "--cable-uncertainty-db", metavar="U", type=float, default=1.0, help="standard deviation of that (1)"
    )
    parser.add_argument(
        "--full-scale-dbm", metavar="P", type=float,
        help="power that clients send at digital full scale and gain 0 dB, for the noise figure (7)",
    )  # fmt: skip
    parser.add_argument(
        "--full-scale-uncertainty-db", metavar="U", type=float,
        help="standard deviation of that (3; 0.5 where --full-scale-dbm is given)",
    )  # fmt: skip
    parser.add_argument(
        "--dir", metavar="DIR", type=Path, help="where files are kept (of an experiment: radio.calibration_dir)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document; progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Measure, keep, show. Raises ConfigurationError, RadioError, MissingPartError, DataError, StorageError."""
    desk = desk_of(args)
    if len(desk.uris) < 2:
        raise ConfigurationError(
            "a base station's and at least one client's Pluto are needed: an experiment with radio.driver = "
            '"pluto", or --uri twice, the base station first'
        )
    directory = args.dir or desk.calibrations
    if directory is None:
        raise ConfigurationError("--dir DIR is missing: the experiment has no radio.calibration_dir")
    _insist_on_writable(directory)
    plan = _plan(args, desk)
    from calibration.procedure import calibrate
    from radio.calibration_file import save

    with open_plutos(desk) as plutos:
        _refuse_twins(plutos)
        clients = dict(list(zip(desk.uris, plutos, strict=True))[1:])
        outcome = calibrate(plutos[0], clients, plan, lambda step: print(step, file=sys.stderr, flush=True))
    names = dict(zip((c.serial for c in (outcome.station, *outcome.clients)), desk.uris, strict=True))
    paths = [save(calibration, directory) for calibration in (outcome.station, *outcome.clients)]
    print(_document(outcome, names, paths) if args.json else _text(outcome, names, paths))
    return 0


def _insist_on_writable(directory: Path) -> None:
    """Before anything is measured. Raises StorageError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory}: cannot be made: {error.strerror}; choose another --dir") from error
    if not os.access(directory, os.W_OK):
        raise StorageError(f"{directory}: cannot be written: it is not yours; choose another --dir")


def _plan(args: argparse.Namespace, desk: Desk) -> Plan:
    from calibration.procedure import NOMINAL_FULL_SCALE_DBM, Plan
    from radio.quantity import Quantity

    for option in ("cable_uncertainty_db", "full_scale_uncertainty_db"):
        value = getattr(args, option)
        if value is not None and not 0.0 <= value <= 30.0:
            raise ConfigurationError(f"--{option.replace('_', '-')} {value:g}: lies between 0 and 30")
    full_scale = NOMINAL_FULL_SCALE_DBM
    if args.full_scale_dbm is not None:
        full_scale = Quantity(args.full_scale_dbm, 0.5)
    if args.full_scale_uncertainty_db is not None:
        full_scale = Quantity(full_scale.value, args.full_scale_uncertainty_db)
    cable_db = _cable_db(args, desk)
    return Plan(
        carrier_hz=desk.radio.carrier_hz,
        sample_rate_hz=desk.radio.sample_rate_hz,
        transmit_gain_db=desk.radio.transmit_gain_db,
        receive_gain_db=desk.radio.receive_gain_db,
        cable_db=None if cable_db is None else Quantity(cable_db, args.cable_uncertainty_db),
        full_scale_dbm=full_scale,
    )


def _cable_db(args: argparse.Namespace, desk: Desk) -> float | None:
    if args.cable_db is None:
        cabled = desk.experiment is not None and desk.radio.connection == "cable"
        return desk.radio.cable_attenuation_db if cabled else None
    if not LEAST_CABLE_DB <= args.cable_db <= 200.0:
        raise ConfigurationError(
            f"--cable-db {args.cable_db:g}: lies between {LEAST_CABLE_DB:g}, which protects the receiver, and 200"
        )
    cable_db: float = args.cable_db
    return cable_db


def _refuse_twins(plutos: list[Pluto]) -> None:
    seen: dict[str, str] = {}
    for pluto in plutos:
        if pluto.serial in seen:
            raise ConfigurationError(
                f"{seen[pluto.serial]} and {pluto.uri} have one serial number, {pluto.serial}: one Pluto, or two that "
                "cannot be told apart; airtune doctor says how to give each its own address"
            )
        seen[pluto.serial] = pluto.uri


def _document(outcome: Outcome, names: dict[str, str], paths: list[Path]) -> str:
    offsets = [
        {"name": names[serial], "serial": serial, "ppm": offset.ppm, "hz": offset.hz}
        for serial, offset in outcome.before.items()
    ]
    calibrations = [outcome.station, *outcome.clients]
    document = {"files": [str(path) for path in paths], "offsets_before": offsets, "calibrations": calibrations}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _text(outcome: Outcome, names: dict[str, str], paths: list[Path]) -> str:
    lines = []
    for calibration in (outcome.station, *outcome.clients):
        lines.append(
            f"{names[calibration.serial]}  Pluto {calibration.serial}, {calibration.temperature_c:.0f} degrees"
        )
        lines += [f"  {line}" for line in (*_crystal_lines(calibration, outcome), *_half_lines(calibration))]
        lines += [f"  cable from {names[r.transmitter]}: offset {r.offset_db} dB" for r in calibration.references]
    return "\n".join([*lines, *(f"kept in {path}" for path in paths)])


def _crystal_lines(calibration: Calibration, outcome: Outcome) -> list[str]:
    before, crystal = outcome.before.get(calibration.serial), calibration.crystal
    if before is None or crystal is None:
        return []
    left_hz = crystal.left_ppm.times(1e-6 * calibration.carrier_hz)
    return [
        f"carrier offset {before.hz} Hz ({before.ppm} ppm)",
        f"xo_correction {crystal.xo_correction_hz}, which leaves {left_hz} Hz",
    ]


def _half_lines(calibration: Calibration) -> list[str]:
    lines = []
    if (sender := calibration.transmitter) is not None:
        lines.append(f"transmitter: image {sender.image_db} dB, leaking carrier {sender.carrier_db} dB")
        lines.append("transmit gains: " + ", ".join(f"{g.setting_db:g}: {g.gain_db}" for g in sender.gains))
    if (receiver := calibration.receiver) is not None:
        figure = "unknown" if receiver.noise_figure_db is None else f"{receiver.noise_figure_db} dB"
        lines.append(f"receiver: image {receiver.image_db} dB, DC {receiver.dc_dbfs} dBFS, noise figure {figure}")
        lines.append(f"noise at gain {receiver.noise_gain_db:g} dB: {receiver.noise_dbfs_hz} dBFS/Hz")
        lines.append("receive gains: " + ", ".join(f"{g.setting_db:g}: {g.gain_db}" for g in receiver.gains))
    return lines
