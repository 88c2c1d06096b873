"""Sweeps that are killed go on; what they make are runs like any other."""

import csv
import json
import os
import signal
import time

import psutil
import pytest
from labs import airtune, assert_same_run, finish, run_lab, tiny_experiment

from base_station.store.toml_text import toml_text
from deploy.sweeps.planned import make_plan
from protocol.experiment_file import experiment_to_dict
from protocol.steps import KILL_VARIABLE


@pytest.fixture
def lab(tmp_path):
    experiment = tiny_experiment(tmp_path, experiment={"rounds": 2}, radio={"driver": "abstract"})
    (tmp_path / "tiny.toml").write_text(toml_text(experiment_to_dict(experiment)))
    (tmp_path / "sweep.toml").write_text(
        '[sweep]\nname = "bits"\nbase = "tiny.toml"\nseeds = [1]\n[grid]\n"soft.quant_bits" = [4, 8]\n'
    )
    return tmp_path


def compare(lab, *options, **environment):
    return airtune("compare", lab / "sweep.toml", "--out", lab / "out", "--json", *options, **environment)


def wait_until(condition, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_killed_sweep_leaves_no_process_and_goes_on(lab):
    runs = make_plan([lab / "sweep.toml"], [], None, lab / "out").runs
    killed = compare(lab, "--jobs", "2")
    wait_until(lambda: any(run.rounds_done for run in runs))
    children = psutil.Process(killed.pid).children(recursive=True)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    told = json.loads(finish(compare(lab)))
    assert [method["name"] for method in told["methods"]] == ["quant_bits 4", "quant_bits 8"]
    assert all(run.finished for run in runs)
    lines = list(csv.DictReader((lab / "out" / "runs.csv").open()))
    assert [line["iq"] for line in lines] == ["no", "no"]
    assert all(float(line["worst_client_accuracy"]) <= float(line["accuracy"]) for line in lines)
    run_lab(runs[0].experiment, lab / "unbroken")
    assert_same_run(lab / "unbroken", runs[0].directory)


def test_a_run_that_dies_is_told_and_made_by_the_same_command(lab):
    one = ("compare", lab / "tiny.toml", "--out", lab / "out", "--json")
    failed = airtune(*one, **{KILL_VARIABLE: "base-station:received:2"})
    _, said = failed.communicate(timeout=240)
    assert failed.returncode == 12
    assert "1 of 1 runs failed; the first:" in said
    assert "the same command goes on with them" in said
    told = json.loads(finish(airtune(*one)))
    assert [method["measures"]["accuracy"]["values"] for method in told["methods"]] == [1]


def test_a_sweep_runs_on_ray(lab):
    pytest.importorskip("ray", reason="pip install 'airtune[ray]' to run sweeps on a Ray cluster")
    told = json.loads(finish(compare(lab, "--ray", "local")))
    assert [method["measures"]["accuracy"]["values"] for method in told["methods"]] == [1, 1]
