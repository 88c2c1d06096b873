"""One client's side of the round with a trainer that only adds a constant: what it reports and what it keeps."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edge_client.memory import RoundMemory
from edge_client.round import ClientRound, Trained
from protocol.adapters import adapter_to_bytes
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
        return Trained({name: value + np.float32(0.01) for name, value in adapter.items()}, 1.0, 1.0)


def client_round(directory, residual):
    raw = {
        "experiment": {"name": "lab"}, "soft": {"residual": residual},
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


@pytest.mark.parametrize(("residual", "kept"), [("on", {3, 4}), ("off", {4})])
def test_memory_does_not_grow_with_the_rounds(tmp_path, residual, kept):
    played = client_round(tmp_path, residual)
    for index in range(1, 5):
        played.on_plan(plan(index, last=index - 1 or None))
    assert {int(path.name[6:11]) for path in tmp_path.iterdir()} == kept
