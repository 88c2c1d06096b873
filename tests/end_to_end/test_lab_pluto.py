"""``examples/lab-pluto.toml`` to its end on virtual Plutos in wall-clock time, every part a process of its own."""

from __future__ import annotations

import itertools
import json
import signal
import socket
from pathlib import Path

import pytest
from labs import airtune, finish, tiny_experiment
from needs import needs_pyadi

from base_station.store.run_store import RunStore
from base_station.store.toml_text import toml_text
from protocol.experiment_file import experiment_to_dict, load_experiment
from protocol.keys import make_keys
from radio.virtual.configuration import load_medium
from radio.virtual.testbed import free_addresses

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE, MEDIUM = EXAMPLES / "lab-pluto.toml", EXAMPLES / "medium" / "lab-pluto.toml"
NAMES = ("jetson-1", "jetson-2")
SIZES = [pytest.param("tiny", id="tiny model"), pytest.param("whole", id="its own model", marks=pytest.mark.long)]
pytestmark = needs_pyadi


class PlutoLab:
    """The example's file with free addresses, its keys, and a run without radios to compare with."""

    def __init__(self, directory, size):
        self.directory = directory
        self.hosts = dict(zip(("bs", *NAMES), (host for host, _ in free_addresses()), strict=False))
        raw = experiment_to_dict(load_experiment(EXAMPLE))
        raw["radio"]["uri"] = f"ip:{self.hosts['bs']}"
        for member in raw["clients"]["members"]:
            member["uri"] = f"ip:{self.hosts[member['name']]}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            raw["clients"]["control_address"] = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        raw["clients"]["keys_dir"] = str(directory / "keys")
        raw["experiment"] |= {"rounds": 3, "test_texts": 400}
        if size == "tiny":
            small = experiment_to_dict(tiny_experiment(directory))
            raw |= {table: small[table] for table in ("model", "data", "training")}
            raw["training"] |= {"local_steps": 16, "learning_rate": 0.04}
            raw["experiment"] |= {"test_texts": 120, "validation_texts": 60}
        make_keys(directory / "keys", NAMES)
        self.file = directory / "lab-pluto.toml"
        self.file.write_text(toml_text(raw))
        self.simulated = json.loads(
            finish(
                airtune("run", self.file, "--out", directory / "simulated", "--json", "--set", "radio.driver=simulated")
            )
        )

    def run(self, driver):
        """Summary and store directory of a run on virtual Plutos."""
        radios = itertools.chain(*(("--radio", f"{name}={host}") for name, host in self.hosts.items()))
        plutos = airtune("virtual-pluto", *radios, "--medium", MEDIUM, "--json")
        started = [plutos]
        try:
            assert json.loads(plutos.stdout.readline())["ready"]
            choice = ("--set", f"radio.driver={driver}")
            out = self.directory / driver
            station = airtune("base-station", self.file, "--out", out, "--json", *choice)
            clients = [
                airtune("client", self.file, "--name", name, "--state", self.directory / f"{driver}-state", *choice)
                for name in NAMES
            ]
            started += [station, *clients]
            summary = json.loads(finish(station))
            for client in clients:
                finish(client)
            plutos.send_signal(signal.SIGTERM)
            plutos.communicate(timeout=30)
            return summary, out
        finally:
            for process in started:
                process.kill()
                process.communicate()


@pytest.fixture(scope="module", params=SIZES)
def lab(request, tmp_path_factory):
    return PlutoLab(tmp_path_factory.mktemp("lab-pluto"), request.param)


@pytest.mark.parametrize("driver", ["pluto", "gr-iio"])
def test_the_lab_delivers_and_learns_as_in_simulation(lab, driver):
    summary, run_dir = lab.run(driver)
    with RunStore.read(run_dir) as store:
        records = list(store.clients())
    assert len(records) == len(NAMES) * 3
    sent, delivered = sum(r.fragments for r in records), sum(r.fragments_delivered for r in records)
    assert delivered >= 0.95 * sent > 0
    assert summary["final_accuracy"] == pytest.approx(lab.simulated["final_accuracy"], abs=0.03)
    assert summary["final_accuracy"] > summary["initial_accuracy"] + 0.1
    loss_db = load_medium(MEDIUM, ["bs", *NAMES]).medium.loss_db
    assert all(client["mean_gain_db"] == pytest.approx(-loss_db, abs=1.0) for client in summary["clients"])


def test_the_example_says_what_its_medium_is():
    """So that a simulated run is one of the same desk."""
    experiment, medium = load_experiment(EXAMPLE), load_medium(MEDIUM, ["bs", *NAMES])
    assert experiment.radio.cable_attenuation_db == medium.medium.loss_db
    assert experiment.channel.carrier_offset_ppm == medium.medium.crystal_ppm
    assert experiment.channel.noise_figure_db == medium.radio_of("bs").noise_figure_db
    full_power_dbm = medium.radio_of(NAMES[0]).transmit_full_scale_dbm + experiment.radio.transmit_gain_db - 13.0
    assert experiment.radio.tx_power_dbm == full_power_dbm
