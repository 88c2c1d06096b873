"""Which Plutos a command works with: those of an experiment, or those named on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.options import add_overrides
from protocol.configuration import HARDWARE_DRIVERS, Experiment, RadioTable
from protocol.errors import ConfigurationError
from protocol.experiment_file import load_experiment

if TYPE_CHECKING:
    from radio.pluto.pluto import Pluto

BASE_STATION = "base-station"
PLUTO_DRIVERS = ("pluto", "gr-iio")
_DEFAULTS = RadioTable()


@dataclass(frozen=True)
class Desk:
    """Radios by name, the base station's first, and the profile that they are used with."""

    uris: Mapping[str, str]
    radio: RadioTable
    experiment: Experiment | None = None

    @property
    def calibrations(self) -> Path | None:
        """Where calibrations are kept; None: nowhere."""
        return Path(self.radio.calibration_dir) if self.radio.calibration_dir else None


def add_desk(parser: argparse.ArgumentParser) -> None:
    """``[EXPERIMENT.toml [--set TABLE.KEY=VALUE]...]`` or ``--uri URI...``, and the carrier to work at."""
    parser.add_argument("experiment", metavar="EXPERIMENT.toml", type=Path, nargs="?", help="an experiment on Plutos")
    add_overrides(parser, "one key of the experiment")
    parser.add_argument(
        "--uri", metavar="URI", action="append", default=[], dest="uris",
        help="instead of an experiment: a Pluto, as ip:192.168.2.1 or usb:; the first is the base station's",
    )  # fmt: skip
    parser.add_argument(
        "--carrier-hz", metavar="F", type=float, help=f"without an experiment: carrier ({_DEFAULTS.carrier_hz:g})"
    )
    parser.add_argument(
        "--transmit-gain-db", metavar="G", type=float,
        help=f"without an experiment: highest gain that is sent with ({_DEFAULTS.transmit_gain_db:g})",
    )  # fmt: skip


def desk_of(args: argparse.Namespace) -> Desk:
    """What ``add_desk``'s arguments describe; no radios if nothing was named. Raises ConfigurationError."""
    if args.experiment is None:
        if args.overrides:
            raise ConfigurationError("--set: overrides keys of an experiment; name its file, too")
        return Desk(_named(args.uris), _profile(args))
    if args.uris or args.carrier_hz is not None or args.transmit_gain_db is not None:
        raise ConfigurationError(
            f"{args.experiment}: says radios, carrier and gain itself; leave out --uri, --carrier-hz and "
            "--transmit-gain-db, or use --set"
        )
    experiment = load_experiment(args.experiment, args.overrides)
    if experiment.radio.driver not in HARDWARE_DRIVERS:
        return Desk({}, experiment.radio, experiment)
    if experiment.radio.driver not in PLUTO_DRIVERS:
        raise ConfigurationError(
            f'{args.experiment}: radio.driver = "{experiment.radio.driver}": only Plutos can be measured; '
            f"drivers for them are {' and '.join(PLUTO_DRIVERS)}"
        )
    uris = {BASE_STATION: experiment.radio.uri, **{m.name: m.uri for m in experiment.clients.members}}
    return Desk({name: uri for name, uri in uris.items() if uri is not None}, experiment.radio, experiment)


@contextmanager
def open_plutos(desk: Desk) -> Iterator[list[Pluto]]:
    """All radios of a desk, within the limits of its profile. Raises RadioError, MissingPartError."""
    from radio.pluto.pluto import Pluto
    from radio.pluto.settings import profile_limits

    with ExitStack() as stack:
        yield [stack.enter_context(Pluto(uri, profile_limits(desk.radio))) for uri in desk.uris.values()]


def _named(uris: list[str]) -> dict[str, str]:
    for uri in uris:
        if uris.count(uri) > 1:
            raise ConfigurationError(f"--uri {uri}: is given twice")
    return {uri: uri for uri in uris}


def _profile(args: argparse.Namespace) -> RadioTable:
    """The default profile: cables. Raises ConfigurationError."""
    carrier_hz = _DEFAULTS.carrier_hz if args.carrier_hz is None else args.carrier_hz
    gain_db = _DEFAULTS.transmit_gain_db if args.transmit_gain_db is None else args.transmit_gain_db
    if not 1e6 <= carrier_hz <= 1e11:
        raise ConfigurationError(f"--carrier-hz {carrier_hz:g}: is given in hertz, as 915e6")
    if not -89.75 <= gain_db <= 0.0:
        raise ConfigurationError(f"--transmit-gain-db {gain_db:g}: lies between -89.75 and 0")
    return RadioTable(driver="pluto", carrier_hz=carrier_hz, transmit_gain_db=gain_db, max_duty=1.0)
