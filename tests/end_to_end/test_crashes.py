"""Pulling the plug: a run killed at a named step, or at any moment, and resumed is the run that was not killed."""

import os
import random
import signal
import subprocess
import time

import pytest
from labs import airtune, assert_same_run, finish, tiny_experiment

from base_station.store.toml_text import toml_text
from protocol.experiment_file import experiment_to_dict
from protocol.steps import BASE_STATION_STEPS, CLIENT_STEPS, KILL_VARIABLE

ROUNDS = 3
EVERY_STEP = [("base-station", s) for s in BASE_STATION_STEPS] + [("edge-1", s) for s in CLIENT_STEPS]
SAMPLE = [("base-station", "checkpointed"), ("edge-1", "sent")]
RANDOM_KILLS = 20


@pytest.fixture(scope="module")
def experiment_file(tmp_path_factory):
    directory = tmp_path_factory.mktemp("crashes")
    experiment = tiny_experiment(directory, experiment={"rounds": ROUNDS}, channel={"model": "rayleigh"})
    raw = experiment_to_dict(experiment)
    for member in raw["clients"]["members"]:
        member["process"] = "edges"
    path = directory / "tiny.toml"
    path.write_text(toml_text(raw))
    return path


@pytest.fixture(scope="module")
def unbroken(experiment_file):
    run_dir = experiment_file.parent / "unbroken"
    started = time.monotonic()
    finish(airtune("run", experiment_file, "--out", run_dir))
    return run_dir, time.monotonic() - started


def resume_and_compare(run_dir, unbroken_dir, experiment_file):
    finish(airtune("run", experiment_file, "--out", run_dir, "--resume"))
    assert_same_run(unbroken_dir, run_dir)


def kill_at(actor, step, experiment_file, run_dir):
    killed = airtune("run", experiment_file, "--out", run_dir, **{KILL_VARIABLE: f"{actor}:{step}:2"})
    if actor != "base-station":  # its process ends itself at the step; then the plug is pulled for all
        assert any("starting it again" in line for line in killed.stdout), "the step was never reached"
        os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, "the step was never reached"


@pytest.mark.parametrize(("actor", "step"), SAMPLE)
def test_a_run_killed_at_a_step_resumes_bit_for_bit(actor, step, experiment_file, unbroken, tmp_path):
    kill_at(actor, step, experiment_file, tmp_path / "run")
    resume_and_compare(tmp_path / "run", unbroken[0], experiment_file)


@pytest.mark.long
@pytest.mark.parametrize(("actor", "step"), [point for point in EVERY_STEP if point not in SAMPLE])
def test_a_run_killed_at_any_step_resumes_bit_for_bit(actor, step, experiment_file, unbroken, tmp_path):
    kill_at(actor, step, experiment_file, tmp_path / "run")
    resume_and_compare(tmp_path / "run", unbroken[0], experiment_file)


@pytest.mark.long
@pytest.mark.parametrize("trial", range(RANDOM_KILLS))
def test_a_run_killed_at_a_random_time_resumes_bit_for_bit(trial, experiment_file, unbroken, tmp_path):
    unbroken_dir, duration_s = unbroken
    run_dir = tmp_path / "run"
    killed = airtune("run", experiment_file, "--out", run_dir)
    try:
        killed.wait(timeout=random.Random(trial).uniform(0.1, 1.0) * duration_s)
    except subprocess.TimeoutExpired:
        os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    if run_dir.exists():
        resume_and_compare(run_dir, unbroken_dir, experiment_file)
    else:  # killed before there was a run
        finish(airtune("run", experiment_file, "--out", run_dir))
        assert_same_run(unbroken_dir, run_dir)
