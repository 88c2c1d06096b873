"""Rounds without training over the abstract radio: everything but learning is what a run has."""

import msgspec
import pytest

from base_station.state import ServerState
from benchmarks.parts.played_rounds import PlayedRounds
from protocol.experiment_file import experiment_from_dict

CLIENTS, ROUNDS = 70, 3


def play(directory):
    members = [{"name": f"c{i}", "mean_snr_db": 4.0 + 0.3 * i} for i in range(CLIENTS)]
    raw = {
        "experiment": {"name": "many", "seed": 2},
        "tsfa": {"V": 2.0, "latency_budget_s": 3.7},
        "radio": {"driver": "abstract"},
        "clients": {"members": members},
    }
    with PlayedRounds(experiment_from_dict(raw, "many"), directory) as rounds:
        state = ServerState.initial(rounds.lab.experiment)
        for _ in range(ROUNDS):
            _, state = rounds.play(state)
        kept = [*rounds.store.rounds(), *rounds.store.clients(), *rounds.store.bursts(), *rounds.store.spectra()]
    return state, [{k: v for k, v in msgspec.to_builtins(r).items() if "wall" not in k} for r in kept]


def test_rounds_of_many_clients_are_kept_and_come_out_the_same_again(tmp_path):
    state, kept = play(tmp_path / "first")
    assert state.round_index == ROUNDS
    clients = [record for record in kept if "bits_granted" in record]
    assert len(clients) == CLIENTS * ROUNDS
    granted = [record for record in clients if record["bits_granted"]]
    assert granted
    assert all(record["state"] == "delivered" for record in granted)
    assert all(record["delivered_bits"] == record["payload_bits"] > 0 for record in granted)
    for name in ("c0", "c35"):
        own = [record for record in clients if record["client"] == name]
        queue_s = 3.7
        for record in own:
            queue_s = max(queue_s + record["latency_s"] - 3.7, 0.0)
        assert state.queue_s[name] == pytest.approx(queue_s)
    again, kept_again = play(tmp_path / "second")
    assert again == state
    assert kept_again == kept
