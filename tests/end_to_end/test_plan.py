"""``airtune plan`` and an automatic rank, on the tiny model."""

import json

import pytest
from labs import airtune, finish, tiny_experiment

from base_station.store.run_store import RunStore
from base_station.store.toml_text import toml_text
from deploy.planning.pilot import run_pilot
from learning.device import load_profile
from protocol.experiment_file import experiment_to_dict


@pytest.fixture
def lab(tmp_path, monkeypatch):
    experiment = tiny_experiment(tmp_path, experiment={"rounds": 1}, radio={"driver": "abstract"})
    (tmp_path / "tiny.toml").write_text(toml_text(experiment_to_dict(experiment)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_automatic_rank_is_planned_once_and_the_plan_kept_with_the_run(lab):
    auto = ("--set", 'model.lora_rank="auto"')
    first = json.loads(finish(airtune("run", "tiny.toml", *auto, "--json")))
    with RunStore.read(lab / first["run_dir"]) as store:
        resolved = store.experiment
    kept = json.loads((lab / first["run_dir"] / "plan.json").read_text())
    assert "<svg" in (lab / first["run_dir"] / "plan.html").read_text()
    best_gain = max(c["gain"] for c in kept["candidates"])
    scores = {
        c["rank"]: best_gain - c["gain"] + max(c["gain"], 0.0) * (c["unsent_share"] + min(c["covariance_share"], 1.0))
        for c in kept["candidates"]
    }
    assert list(scores) == [1, 2, 4, 8, 16, 32]
    assert resolved.model.lora_rank == min(scores, key=scores.get)
    assert next(c["V"] for c in kept["candidates"] if c["rank"] == resolved.model.lora_rank) == resolved.tsfa.V
    losses = [c["approximation_energy"] for c in kept["candidates"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0.0, abs=1e-9)
    again = airtune("plan", "tiny.toml", *auto, "--set", "experiment.rounds=7", "--json")
    out, err = again.communicate(timeout=240)
    assert "trainings" not in err
    told = json.loads(out)
    assert told["rank"] == resolved.model.lora_rank
    assert {key: told[key] for key in kept} == kept
    assert told["key"] == kept["key"]


def test_the_pilot_of_a_run_without_residual_is_that_of_one_with(tmp_path):
    device = load_profile("reference-2core")

    def piloted(residual):
        experiment = tiny_experiment(tmp_path, client_count=5, soft={"residual": residual})
        return run_pilot(experiment, 2, device, lambda: None)

    without, with_residual = piloted("off"), piloted("on")
    assert without.curves == with_residual.curves
    assert without.loss_after == with_residual.loss_after != without.loss_before
    assert without.curves[0].keys() == {f"edge-{i}" for i in range(1, 6)}
    assert without.curves[0]["edge-5"] == without.curves[0]["edge-1"]


def test_a_plan_that_cannot_be_made_is_refused_with_the_figure(lab):
    impossible = airtune("plan", "tiny.toml", "--set", "tsfa.latency_budget_s=0.01", "--ranks", "1,2")
    _, said = impossible.communicate(timeout=240)
    assert impossible.returncode == 2
    assert "no allocation can meet the latency budget: training and sounding alone take" in said
    assert not (lab / "runs").exists()
    client = airtune("client", "tiny.toml", "--set", 'model.lora_rank="auto"', "--name", "edge-1")
    _, said = client.communicate(timeout=60)
    assert client.returncode == 2
    assert "config.toml of the run" in said
