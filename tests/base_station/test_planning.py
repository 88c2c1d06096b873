import numpy as np
import pytest
from adapter_support import random_base
from hypothesis import given
from hypothesis import strategies as st

from base_station.planning.channels import draw_rounds
from base_station.planning.page import choice_sentence, plan_text, write_page
from base_station.planning.play import HIGHEST_V, choose_v, play
from base_station.planning.terms import Candidate, RankPlan, approximation_energies
from protocol.adapters import lora_modules
from protocol.experiment_file import experiment_from_dict

CURVE = [(0, 1.0), *((bits, float(np.exp(-bits / 2e5))) for bits in range(20_000, 660_000, 20_000))]
COMPUTE_S = 4.5


def experiment(budget_s=4.7, **channel):
    members = [{"name": f"edge-{i}", "mean_snr_db": snr} for i, snr in enumerate((24.0, 16.0, 8.0))]
    return experiment_from_dict(
        {
            "experiment": {"name": "plan"}, "tsfa": {"latency_budget_s": budget_s}, "channel": channel,
            "clients": {"members": members, "device": "reference-2core"},
        },
        "plan",
    )  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    return draw_rounds(experiment(), 60)


def weights(scenario):
    return dict.fromkeys((m.name for m in scenario.clients.members), 1.0 / 3.0)


def curves(scenario, curve=CURVE):
    return [dict.fromkeys((m.name for m in scenario.clients.members), curve)]


@given(st.integers(0, 1000), st.integers(1, 6))
def test_what_a_rank_cannot_hold_is_what_the_dense_svd_says(seed, rank):
    adapter = random_base(seed, rank=6)
    dense = 0.0
    for module in lora_modules(adapter):
        values = np.linalg.svd(2.0 * adapter[module.b_name].astype(float) @ adapter[module.a_name], compute_uv=False)
        dense += np.sum(values[rank:] ** 2)
    assert approximation_energies(adapter, 2.0, [rank]) == pytest.approx([dense], rel=1e-6, abs=1e-9)


def test_drawn_rounds_are_those_of_the_scenario():
    scenario = experiment(model="rayleigh")
    rounds = draw_rounds(scenario, 200)
    snr_order = [np.mean([r.rates[m.name].rate_bps[27, 0] if m.name in r.rates else 0.0 for r in rounds])
                 for m in scenario.clients.members]  # fmt: skip
    assert snr_order[0] > snr_order[1] > snr_order[2] > 0.0
    assert len({float(r.rates["edge-0"].rate_bps.max()) for r in rounds if "edge-0" in r.rates}) > 20
    again = draw_rounds(scenario, 3)
    assert np.array_equal(again[2].rates["edge-0"].rate_bps, rounds[2].rates["edge-0"].rate_bps)
    assert 0.01 < rounds[0].sounding_s < 0.05


def test_more_weight_on_the_energy_sends_more_and_lengthens_the_queue(drawn):
    scenario = experiment()
    stages = [play(scenario, V, drawn, curves(scenario), weights(scenario), COMPUTE_S) for V in (0.0, 1.0, 20.0)]
    assert stages[0].mean_bits == 0.0
    assert stages[0].unsent_energy == pytest.approx(1.0)
    assert [stage.unsent_share for stage in stages] == pytest.approx([stage.unsent_energy for stage in stages])
    assert stages[0].mean_bits < stages[1].mean_bits < stages[2].mean_bits
    assert stages[0].unsent_energy > stages[1].unsent_energy > stages[2].unsent_energy
    assert stages[1].stationary_queue_s < stages[2].stationary_queue_s


def test_v_is_chosen_so_that_the_queue_settles_at_the_budget(drawn):
    scenario = experiment()
    stage = choose_v(scenario, drawn, curves(scenario), weights(scenario), COMPUTE_S)
    assert stage.stationary_queue_s == pytest.approx(4.7, rel=0.06)
    assert stage.mean_latency_s == pytest.approx(4.7, rel=0.02)


def test_the_unsent_share_does_not_depend_on_the_scale_of_the_energies(drawn):
    scenario = experiment()
    large = [(bits, 50.0 * energy) for bits, energy in CURVE]
    small, big = (play(scenario, 2.0, drawn, curves(scenario, c), weights(scenario), COMPUTE_S) for c in (CURVE, large))
    assert big.unsent_energy == pytest.approx(50.0 * small.unsent_energy)
    assert big.unsent_share == pytest.approx(small.unsent_share)


def test_where_all_fits_the_budget_nothing_is_held_back(drawn):
    scenario = experiment(budget_s=30.0)
    stage = choose_v(scenario, drawn, curves(scenario), weights(scenario), COMPUTE_S)
    assert stage.V == HIGHEST_V
    assert stage.unsent_energy == pytest.approx(CURVE[-1][1], abs=0.05)


def candidate(rank, gain, unsent_share, covariance_share, best_gain=1.4):
    return Candidate(
        rank=rank, gain=gain, unsent_share=unsent_share, covariance_share=covariance_share, approximation_energy=0.1,
        unsent_energy=2.0, covariance_energy=0.3, approximation=best_gain - gain, V=3.0, mean_latency_s=4.7,
        stationary_queue_s=4.8, mean_bits=1e5,
    )  # fmt: skip


def plan_of(*candidates):
    return RankPlan(
        key="k", experiment="x", latency_budget_s=4.7, pilot_rounds=3, played_rounds=60, candidates=list(candidates)
    )


def test_each_term_is_a_loss_of_what_the_rank_gained():
    one = candidate(2, 1.2, 0.25, 0.01)
    assert (one.approximation, one.sparsification, one.covariance) == pytest.approx((0.2, 0.3, 0.012))
    assert one.score == pytest.approx(0.512)
    worse_than_nothing = candidate(2, -0.3, 0.25, 0.01)
    assert (worse_than_nothing.sparsification, worse_than_nothing.covariance) == (0.0, 0.0)
    assert worse_than_nothing.score == pytest.approx(1.7)
    assert candidate(2, 1.2, 0.0, 7.0).covariance == pytest.approx(1.2)


def test_the_plan_takes_the_least_score_and_shows_it(tmp_path):
    # A small rank that learns less, one that is sent whole, one that learns most and hardly gets through.
    plan = plan_of(candidate(1, 1.1, 0.0, 0.0), candidate(4, 1.3, 0.1, 0.01), candidate(32, 1.4, 0.6, 0.0))
    assert plan.best.rank == 4
    tied = plan_of(candidate(4, 1.4, 0.2, 0.0), candidate(8, 1.4, 0.1, 0.1))
    assert tied.best.rank == 4
    assert "4 *" in plan_text(plan)
    said = (
        "lora_rank = 4, V = 3 at a latency budget of 4.7 s; the next best rank is expected to lose 0.057 nats more, "
        "the worst 0.597"
    )
    assert choice_sentence(plan) == said
    page = write_page(plan, tmp_path / "plan.html").read_text()
    assert "<svg" in page
    assert "approximation" in page
