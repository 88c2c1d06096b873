"""Base station and clients as separate processes: either side dies, the other carries on."""

import json
import os
import signal
import socket
import sqlite3

import msgspec
import pytest
from labs import airtune, assert_same_run, finish, tiny_experiment

from base_station.store.run_store import RunStore
from base_station.store.toml_text import toml_text
from protocol.experiment_file import experiment_to_dict
from protocol.keys import make_keys
from protocol.steps import KILL_VARIABLE


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Lab:
    """An experiment file, its keys, and the commands of a lab with a process per machine."""

    def __init__(self, directory, rounds):
        names = ["edge-1", "edge-2"]
        experiment = tiny_experiment(directory, experiment={"rounds": rounds}, channel={"model": "rayleigh"})
        raw = experiment_to_dict(experiment)
        raw["clients"]["control_address"] = f"tcp://127.0.0.1:{free_port()}"
        raw["clients"]["radio_address"] = f"tcp://127.0.0.1:{free_port()}"
        raw["clients"]["keys_dir"] = str(directory / "keys")
        make_keys(directory / "keys", names)
        self.file = directory / "lab.toml"
        self.file.write_text(toml_text(raw))
        self.run_dir = directory / "run"
        self._directory = directory

    def station(self, *options, **environment):
        return airtune("base-station", self.file, "--out", self.run_dir, *options, **environment)

    def client(self, name, **environment):
        state = self._directory / "state"
        return airtune("client", self.file, "--name", name, "--keys", self._directory / "keys", "--state", state,
                       **environment)  # fmt: skip


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, rounds=4)


def test_a_base_station_killed_and_restarted_finds_its_clients_again(lab, tmp_path):
    clients = [lab.client("edge-1"), lab.client("edge-2")]
    killed = lab.station(**{KILL_VARIABLE: "base-station:received:2"})
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert all(client.poll() is None for client in clients)
    finish(lab.station("--resume"))
    for client in clients:
        finish(client)
    unbroken = tmp_path / "unbroken"
    finish(airtune("run", lab.file, "--out", unbroken))
    assert_same_run(unbroken, lab.run_dir)


def test_a_client_killed_in_a_round_is_left_out_of_it_and_rejoins(lab):
    station, steady = lab.station(), lab.client("edge-2")
    killed = lab.client("edge-1", **{KILL_VARIABLE: "edge-1:encoded:2"})
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    restarted = lab.client("edge-1")
    for process in (station, steady, restarted):
        finish(process)
    with RunStore.read(lab.run_dir) as store:
        states = {(r.round_index, r.client): (r.state, r.residual_lost) for r in store.clients()}
    assert states[2, "edge-1"][0] == "failed"
    assert states[2, "edge-2"][0] == "delivered"
    assert [states[t, "edge-1"] for t in (3, 4)] == [("delivered", False)] * 2


def test_the_summary_is_what_the_database_says(lab):
    summary = json.loads(finish(airtune("run", lab.file, "--out", lab.run_dir, "--json")))
    with sqlite3.connect(f"file:{lab.run_dir}/run.sqlite?mode=ro", uri=True) as database:

        def one(query):
            return database.execute(query).fetchone()[0]

        assert summary["rounds"] == one("SELECT count(*) FROM rounds") == 4
        assert summary["uplink_payload_bits"] == one("SELECT sum(delivered_bits) FROM client_rounds")
        assert summary["uplink_air_bits"] == one("SELECT sum(air_bits) FROM client_rounds")
        assert summary["airtime_s"] == pytest.approx(one("SELECT sum(airtime_s) FROM rounds"))
        assert summary["mean_latency_s"] == pytest.approx(one("SELECT avg(latency_s) FROM client_rounds"))
        for client in summary["clients"]:
            name = client["name"]
            sparsity = one(f"SELECT avg(sparsity) FROM client_rounds WHERE client = '{name}'")
            assert client["mean_sparsity"] == pytest.approx(sparsity)
            last = f"SELECT max(pass_index) AS pass FROM bursts WHERE client = '{name}' GROUP BY round_index"
            assert client["retransmissions"] == one(f"SELECT sum(pass) FROM ({last})")
            missed = f"SELECT count(*) FROM bursts WHERE client = '{name}' AND detected = 0"
            assert client["bursts_missed"] == one(missed)
    assert summary["latency_budget_s"] == 2.0
    assert os.path.isdir(summary["run_dir"])
    assert set(summary["stage_seconds"]) >= {"train", "sounding", "uplink", "evaluate"}
    assert msgspec.json.encode(summary)
