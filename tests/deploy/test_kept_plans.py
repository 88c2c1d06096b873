"""Plans that are kept, and found again by what went into them."""

import pytest

from base_station.planning.terms import Candidate, RankPlan
from deploy.planning import auto
from deploy.planning.planner import keep_plan, plan_key
from protocol.experiment_file import experiment_from_dict

RANKS = (4, 8)


def experiment(**tables):
    members = [{"name": "edge-1", "mean_snr_db": 20.0}]
    named = {"name": "plan", **tables.pop("experiment", {})}
    return experiment_from_dict({"experiment": named, "clients": {"members": members}, **tables}, "plan")


@pytest.mark.parametrize(
    "tables",
    [
        {"tsfa": {"latency_budget_s": 6.0}}, {"channel": {"model": "awgn"}}, {"experiment": {"seed": 2}},
        {"data": {"validation_fraction": 0.2}}, {"soft": {"quant_bits": 4}}, {"training": {"local_steps": 9}},
    ],
)  # fmt: skip
def test_another_question_is_another_plan(tables):
    assert plan_key(experiment(**tables), RANKS) != plan_key(experiment(), RANKS)


@pytest.mark.parametrize(
    "tables",
    [
        {"experiment": {"name": "other", "rounds": 99, "test_texts": 5}},
        {"tsfa": {"V": 7.0}},
        {"model": {"lora_rank": 2}},
    ],
)
def test_what_is_planned_and_what_comes_after_do_not_count(tables):
    assert plan_key(experiment(**tables), RANKS) == plan_key(experiment(), RANKS)
    assert plan_key(experiment(), RANKS) != plan_key(experiment(), (4, 8, 16))


def test_a_kept_plan_is_found_under_the_name_of_who_asks(tmp_path, monkeypatch):
    monkeypatch.setattr(auto, "PLANS", tmp_path)
    key = plan_key(experiment(), RANKS)
    one = Candidate(
        rank=4, gain=1.0, unsent_share=0.1, covariance_share=0.0, approximation_energy=0.1, unsent_energy=2.0,
        covariance_energy=0.0, approximation=0.0, V=3.0, mean_latency_s=4.7, stationary_queue_s=4.8, mean_bits=1e5,
    )  # fmt: skip
    plan = RankPlan(
        key=key, experiment="plan", latency_budget_s=5.0, pilot_rounds=3, played_rounds=60, candidates=[one]
    )
    keep_plan(plan, tmp_path / key)
    assert auto.find_plan(experiment(), RANKS) == plan
    found = auto.find_plan(experiment(experiment={"name": "other"}), RANKS)
    assert (found.experiment, found.key, found.best) == ("other", key, one)
