"""``airtune client``: one or several edge clients in this process."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from deploy.options import add_experiment, experiment_of
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError
from protocol.keys import load_client_keys
from protocol.processes import die_with_parent

_EXAMPLE = "example: airtune client lab.toml --name edge-1 --keys lab-keys --station tcp://192.168.1.10:5600"


def add_parser(subparsers: Any) -> None:
    """Add ``client`` to the command line."""
    parser = subparsers.add_parser(
        "client",
        description="Run clients of an experiment: join the base station, train, and send updates over the radio.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_experiment(parser)
    parser.add_argument("--name", action="append", required=True, dest="names", help="a client of the experiment")
    parser.add_argument("--keys", metavar="DIR", type=Path, help="directory of key files (default: clients.keys_dir)")
    parser.add_argument("--station", metavar="ADDRESS", help="the base station (default: clients.control_address)")
    parser.add_argument(
        "--state", metavar="DIR", type=Path, help="where clients keep their state (default: airtune-clients/EXPERIMENT)"
    )
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Check names, keys and address, then join and stay until the run is over."""
    if args.parent is not None:
        die_with_parent(args.parent)
    experiment = experiment_of(args)
    names = _names(experiment, args.names)
    directory = args.keys or experiment.clients.keys_dir
    if directory is None:
        raise ConfigurationError("--keys DIR is missing; it holds the client's key and base-station.pub")
    keys = {name: load_client_keys(Path(directory), name) for name in names}
    address = _station_address(experiment, args.station)
    state = args.state or Path("airtune-clients") / experiment.experiment.name
    from edge_client.client import run_client

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("airtune").setLevel(logging.INFO)
    run_client(experiment, names, keys, address, state)
    return 0


def _names(experiment: Experiment, names: list[str]) -> list[str]:
    for name in names:
        experiment.member(name)
        if names.count(name) > 1:
            raise ConfigurationError(f"--name {name}: given twice")
    return names


def _station_address(experiment: Experiment, given: str | None) -> str:
    address = given or experiment.clients.control_address
    if address.endswith(":0"):
        raise ConfigurationError(
            f"{address}: the base station takes any free port; say where it listens with --station tcp://HOST:PORT"
        )
    return address
