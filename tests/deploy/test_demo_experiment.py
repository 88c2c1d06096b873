"""The demo experiment, and where runs go."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.commands.demo import demo_file, members
from deploy.options import run_directory
from protocol.errors import RunError
from protocol.experiment_file import load_experiment
from radio.channel.levels import reference_snr_db

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_valid_experiment(path):
    assert load_experiment(path).experiment.name == path.stem


def test_the_demo_is_the_example():
    assert demo_file() in EXAMPLES


def test_the_demo_clients_are_heard_between_8_and_25_db():
    experiment = load_experiment(demo_file())
    snrs_db = [reference_snr_db(experiment, member) for member in experiment.clients.members]
    assert len(snrs_db) == 4
    assert max(snrs_db) == pytest.approx(25, abs=0.5)
    assert min(snrs_db) == pytest.approx(8, abs=0.5)


@pytest.mark.parametrize("count", [1, 2, 4, 7, 64])
def test_other_numbers_of_clients_are_spread_over_the_same_distances(count):
    own = [member.distance_m for member in load_experiment(demo_file()).clients.members]
    experiment = load_experiment(demo_file(), [f"clients.members={members(count)}"])
    distances_m = [member.distance_m for member in experiment.clients.members]
    assert len(distances_m) == count
    assert distances_m == sorted(distances_m)
    assert distances_m[0] == min(own)
    assert distances_m[-1] == (max(own) if count > 1 else min(own))
    assert count != 4 or distances_m == own


def test_new_runs_are_numbered_and_resume_takes_the_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_directory("demo", None, resume=False) == Path("runs/demo")
    for name in ("demo", "demo-2", "demo-10", "demo-long"):
        Path("runs", name).mkdir(parents=True)
    assert run_directory("demo", None, resume=False) == Path("runs/demo-3")
    assert run_directory("demo", None, resume=True) == Path("runs/demo-10")
    with pytest.raises(RunError, match="no such run"):
        run_directory("other", None, resume=True)


def test_an_empty_directory_may_be_given(tmp_path):
    assert run_directory("demo", tmp_path, resume=False) == tmp_path
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="already there"):
        run_directory("demo", tmp_path, resume=False)
    with pytest.raises(RunError, match="already there"):
        run_directory("demo", tmp_path / "file", resume=False)
