"""One client's side of the round with a trainer that only adds a constant: what it reports and what it keeps."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from base_station.folding import Folding
from edge_client.memory import RoundMemory
from edge_client.round import ClientRound, Trained
from protocol.adapters import adapter_to_bytes
from protocol.errors import ProtocolError
from protocol.experiment_file import experiment_from_dict
from protocol.messages import Participation, Plan

MODULE = "encoder.layer.0.query"
RNG = np.random.default_rng(3)
BASE = {
    f"{MODULE}.lora_A.weight": RNG.standard_normal((2, 6)).astype(np.float32),
    f"{MODULE}.lora_B.weight": RNG.standard_normal((5, 2)).astype(np.float32),
    "classifier.weight": RNG.standard_normal((3, 5)).astype(np.float32),
    "classifier.bias": np.zeros(3, np.float32),
}
KAPPA = 0.25


class AddingTrainer:
    samples = 10
    scaling = 2.0

    def train(self, adapter, round_index):
        trained = {name: value + np.float32(0.01) for name, value in adapter.items()}
        return Trained(trained, {name: np.ones_like(value) for name, value in adapter.items()}, 1.0, 1.0)


def client_round(directory, residual, aggregation="separate", decay=1.0):
    raw = {
        "experiment": {"name": "lab"}, "soft": {"residual": residual, "residual_decay": decay},
        "training": {"aggregation": aggregation},
        "clients": {"members": [{"name": "a", "mean_snr_db": 20.0}]},
    }  # fmt: skip
    experiment = experiment_from_dict(raw, "experiment")
    return ClientRound("a", experiment, "run", bytes(32), AddingTrainer(), RoundMemory(directory), None)


def plan(index, last=None):
    committed = None if last is None else Participation(last, b"", 0)
    return Plan(index, adapter_to_bytes(BASE), committed, KAPPA)


def test_the_residual_is_counted_like_the_update_it_was(tmp_path):
    played = client_round(tmp_path, "on")
    first = played.on_plan(plan(1))
    second = played.on_plan(plan(2, last=1))
    assert first.residual_energy == 0.0
    assert first.curve[0][1] == pytest.approx(first.lora_energy + KAPPA * first.head_energy)
    assert second.residual_energy == pytest.approx(first.curve[0][1], rel=1e-6)
    assert msgspec.structs.replace(second, wall_s=0.0) == msgspec.structs.replace(
        client_round(tmp_path, "on").on_plan(plan(2, last=1)), wall_s=0.0
    )


def test_a_decaying_residual_converges_instead_of_growing(tmp_path):
    """The same change is learned in every round and never sent: a geometric series."""
    played = client_round(tmp_path, "on", decay=0.5)
    for index in range(1, 5):
        played.on_plan(plan(index, last=index - 1 or None))
    kept = RoundMemory(tmp_path).recall(4).delta
    for value in kept.values():
        np.testing.assert_allclose(value, 0.01 * (1 + 0.5 + 0.25 + 0.125), rtol=1e-4)


@pytest.mark.parametrize(("residual", "kept"), [("on", {3, 4}), ("off", set())])
def test_memory_does_not_grow_with_the_rounds(tmp_path, residual, kept):
    played = client_round(tmp_path, residual)
    for index in range(1, 5):
        played.on_plan(plan(index, last=index - 1 or None))
    assert {int(path.name[6:11]) for path in tmp_path.iterdir()} == kept


def test_what_is_left_of_the_factor_that_stands_still_waits_for_its_turn(tmp_path):
    played = client_round(tmp_path, "on", "alternate")
    played.on_plan(plan(1))
    played.on_plan(plan(2, last=1))
    kept = [RoundMemory(tmp_path).recall(index).delta for index in (1, 2)]
    for name, value in kept[0].items():  # the trainer moves every value; with a frozen factor it would not
        assert np.allclose(kept[1][name], 2 * value, atol=1e-6)
    assert played._ranking.change.frozen == "b"
    sent = played._ranking.change.delta
    assert not np.any(sent[f"{MODULE}.lora_B.weight"])
    assert np.array_equal(sent[f"{MODULE}.lora_A.weight"], kept[1][f"{MODULE}.lora_A.weight"])


def test_folded_weights_are_taken_up_in_order_or_the_round_is_refused(tmp_path):
    played, taken = client_round(tmp_path, "off", "exact-fold"), []
    played._trainer.set_folded = taken.append
    station = Folding({})
    for index in (1, 2, 3):
        played.on_plan(msgspec.structs.replace(plan(index), folded=station.message("a")))
        assert taken[-1].keys() == station.folded.keys()
        assert all(np.allclose(taken[-1][n], v, atol=1e-6) for n, v in station.folded.items())
        left, right = RNG.standard_normal((5, 1)), RNG.standard_normal((1, 6))
        station.add({MODULE: (left.astype(np.float32), right.astype(np.float32))}, ["a"])
    with pytest.raises(ProtocolError, match="lacks earlier changes"):
        played.on_plan(msgspec.structs.replace(plan(5), folded=station.message("a")))
