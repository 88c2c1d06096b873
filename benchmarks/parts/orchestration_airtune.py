"""airtune in the orchestration benchmark: base station and clients of the product, but nobody trains or validates.

``base_station.round`` with the real roster, control plane, aggregation and run store; clients are
``edge_client.client.run_client`` in processes of their own, with a trainer that adds a constant. The uplink is the
abstract radio with ``tsfa.allocation = "ideal"``, every update dense and of 32 bits: it arrives bit for bit.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from base_station.aggregation import AGGREGATORS
from base_station.clients import Roster
from base_station.lab import Lab, Verdict
from base_station.round import StationRound
from base_station.state import ServerState
from base_station.store.run_store import RunStore
from benchmarks.parts.orchestration_marks import Marks, part_command
from benchmarks.parts.orchestration_payloads import PAYLOADS, STEP, client_names, process_groups
from deploy.launcher import ClientProcesses, client_environment, client_groups
from edge_client.round import Trained
from learning.device import load_profile
from protocol.adapters import Adapter, zeros_like
from protocol.configuration import Experiment
from protocol.control import StationControl
from protocol.experiment_file import experiment_from_dict, experiment_to_dict
from protocol.keys import load_client_keys, load_station_keys, make_keys
from protocol.messages import Encoded, Finish, Ready, Welcome
from protocol.processes import die_with_parent
from radio.drivers import open_base_station_radio
from radio.limits import experiment_numerology
from radio.link_tables import LinkTables

RUN_ID, KEY = "orchestration", bytes(32)
SAMPLES, COMPUTE_S, SCALING = 100, 1.0, 2.0
FRAGMENT_BYTES = 65 * 1008 - 10
"""A whole number of code blocks with length and tag, as the default; a link that loses nothing needs no small ones."""


def experiment(clients: int) -> Experiment:
    """Whole updates over the uplink that loses nothing."""
    process = {name: group[0] for group in process_groups(client_names(clients)) for name in group}
    members = [{"name": n, "mean_snr_db": 30.0, "process": f"p-{process[n]}"} for n in client_names(clients)]
    raw = {
        "experiment": {"name": "orchestration", "seed": 1},
        "soft": {"compression": "dense", "quant_bits": 32, "residual": "off"},
        "tsfa": {"allocation": "ideal"},
        "radio": {"driver": "abstract", "fragment_bytes": FRAGMENT_BYTES},
        "clients": {"members": members, "device": "reference-2core"},
    }
    return experiment_from_dict(raw, "orchestration")


# ---- clients ----------------------------------------------------------------------------


class AddedConstant:
    """Implements ``Trainer`` in the place of ``edge_client.trainer.LocalTrainer``."""

    def __init__(self, *_: object) -> None:
        self.samples, self.scaling = SAMPLES, SCALING

    def set_folded(self, folded: object) -> None:
        """As of ``Trainer``."""

    def train(self, adapter: Adapter, round_index: int) -> Trained:
        """As of ``Trainer``."""
        return Trained({name: value + STEP for name, value in adapter.items()}, zeros_like(adapter), 1.0, COMPUTE_S)


def run_clients(clients: int, names: Sequence[str], keys: Path, address: str, state: Path) -> None:
    """Clients ``names`` until the base station says that the run is over."""
    from edge_client import client  # torch, which the base station does without here

    with mock.patch.object(client, "LocalTrainer", AddedConstant):
        client.run_client(experiment(clients), names, {n: load_client_keys(keys, n) for n in names}, address, state)


def client_command(clients: int, keys: Path, address: str, state: Path) -> Callable[[Sequence[str]], list[str]]:
    """As of ``deploy.launcher``."""

    def command(names: Sequence[str]) -> list[str]:
        return [
            *part_command("airtune"), "client", "--clients", str(clients),
            "--keys", str(keys), "--station", address, "--state", str(state), "--parent", str(os.getpid()), *names,
        ]  # fmt: skip

    return command


# ---- base station -----------------------------------------------------------------------


class Nobody:
    """Stands where evaluator and progress display do."""

    def validate(self, adapter: Adapter) -> Verdict:
        """As of ``Evaluator``."""
        return Verdict(1.0, 0.5, 0.5, (0.4, 0.6), {"nobody": 0.5}, 1)

    def warn(self, text: str) -> None:
        """As of ``Progress``: nothing may go wrong here."""
        raise AssertionError(text)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Station:
    """A base station as ``base_station.station`` opens it, its clients joined; a context manager."""

    def __init__(self, setup: Experiment, directory: Path) -> None:
        names, nobody = [member.name for member in setup.clients.members], Nobody()
        self._stack = ExitStack()
        make_keys(directory / "keys", names)
        keys = load_station_keys(directory / "keys", names)
        control = StationControl(setup.clients.control_address, keys.pair, keys.clients)
        self._stack.callback(control.close)
        radio = open_base_station_radio(setup)
        self._stack.callback(radio.close)
        store = self._stack.enter_context(RunStore.create(directory / "run", setup, {"run_id": RUN_ID}))
        experiment_json = msgspec.json.encode(experiment_to_dict(setup))
        device_json = msgspec.json.encode(load_profile(setup.clients.device))
        welcome = Welcome(RUN_ID, experiment_json, KEY, device_json, radio.radio_address)
        roster = Roster(control, dict.fromkeys(names, welcome), setup.clients, nobody)
        self.lab = Lab(
            experiment=setup, run_id=RUN_ID, session=RUN_ID, radio=radio, roster=roster, evaluator=nobody,
            aggregator=AGGREGATORS[setup.training.aggregation](), folding=None, store=store, progress=nobody,
            numerology=experiment_numerology(setup), tables=LinkTables.load().of(setup.radio.codec), scaling=SCALING,
            samples=dict.fromkeys(names, SAMPLES), compute_s=dict.fromkeys(names, COMPUTE_S),
            fragment_keys=dict.fromkeys(names, KEY),
        )  # fmt: skip
        state = directory / "run" / "clients"
        command = client_command(len(names), directory / "keys", control.address, state)
        clients = ClientProcesses(
            client_groups(setup), command, state, nobody.warn, on_all_lost=lambda: os.kill(os.getpid(), signal.SIGTERM),
            environment=client_environment(setup),
        )  # fmt: skip
        self._stack.callback(clients.close)
        clients.start()
        roster.wait_for_clients(setup.clients.join_timeout_s)

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.lab.samples:
            self.lab.roster.send(name, Finish())
        self._stack.close()


def play(setup: Experiment, adapter: Adapter, directory: Path, marks: Marks) -> None:
    """Rounds for as long as they are wanted; every one must bring every client's whole update."""
    with Station(setup, directory) as station:
        state = ServerState.initial(setup)
        while marks.next_round():
            played = StationRound(station.lab, state, adapter)
            began_s = time.monotonic()
            state, adapter = played.play()
            marks.round_done(parts_s(played, time.monotonic() - began_s))
            check(played)


def parts_s(played: StationRound, round_s: float) -> dict[str, float]:
    """What the parts of a round took. The clients' own part is that of their slowest process, as they work at once."""
    stages = played.stage_wall_s
    trained, encoded = slowest_s(played.ready), slowest_s(played.encoded)
    return {
        "downlink": stages["train"] - trained,
        "client settles, adds, ranks": trained,
        "client encodes": encoded,
        "sounding, grants": stages["sounding"] + stages["allocate"] + stages["encode"] - encoded,
        "uplink": stages["uplink"],
        "decode, aggregate": stages["aggregate"],
        "commit": round_s - sum(stages.values()),
    }


def slowest_s(answers: Mapping[str, Ready] | Mapping[str, Encoded]) -> float:
    """What the clients of one process worked one after the other, for the slowest process."""
    return max(sum(answers[name].wall_s for name in group) for group in process_groups(list(answers)))


def check(played: StationRound) -> None:
    """Everybody's update came whole."""
    grants = played.link.grants
    if len(grants) < len(played.lab.samples) or not all(grant.arq.complete for grant in grants.values()):
        raise AssertionError(f"round {played.index}: {len(grants)} grants; not every update came whole")


def main() -> None:
    """Command line of both ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ends = parser.add_subparsers(dest="end", required=True)
    station, client = ends.add_parser("station"), ends.add_parser("client")
    for end in (station, client):
        end.add_argument("--clients", type=int, required=True)
    station.add_argument("--payload", choices=PAYLOADS, required=True)
    station.add_argument("--marks", required=True)
    for option in ("--keys", "--state"):
        client.add_argument(option, type=Path, required=True)
    client.add_argument("--station", required=True)
    client.add_argument("--parent", type=int, required=True)
    client.add_argument("names", nargs="+")
    options = parser.parse_args()
    if options.end == "client":
        die_with_parent(options.parent)
        run_clients(options.clients, options.names, options.keys, options.station, options.state)
        return
    with tempfile.TemporaryDirectory() as directory, Marks(options.marks) as marks:
        play(experiment(options.clients), PAYLOADS[options.payload].arrays(), Path(directory), marks)
