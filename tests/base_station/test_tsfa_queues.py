"""Virtual queues, feasibility, and the common energy scale."""

import numpy as np
import pytest

from base_station.tsfa.energies import scale_energies
from base_station.tsfa.problem import ClientInstance, Instance
from base_station.tsfa.queues import (
    feasibility,
    mean_latency_limit_s,
    next_queue_s,
    realised_latency_s,
)
from base_station.tsfa.solver import solve
from protocol.random_streams import random_stream

ROUNDS = 2000
BUDGET_S = 5.0
DEADLINE_S = 15.0


def test_the_mean_latency_of_any_record_is_bounded_by_its_queue():
    for seed in range(20):
        rng = random_stream(seed, "queue-record")
        latencies = rng.gamma(2.0, rng.uniform(0.5, 4.0), ROUNDS)
        queue = BUDGET_S
        for latency in latencies:
            previous, queue = queue, next_queue_s(queue, float(latency), BUDGET_S)
            assert queue == max(previous + latency - BUDGET_S, 0.0)
        limit = mean_latency_limit_s(BUDGET_S, queue, ROUNDS, BUDGET_S)
        assert latencies.mean() <= limit + 1e-9


def test_the_bound_is_tight_while_the_queue_never_empties():
    queue = BUDGET_S
    for _ in range(10):
        queue = next_queue_s(queue, BUDGET_S + 0.5, BUDGET_S)
    assert mean_latency_limit_s(BUDGET_S, queue, 10, BUDGET_S) == pytest.approx(BUDGET_S + 0.5)


def play(grant_mean_s, model="per-client"):
    """2,000 rounds of three clients on Rayleigh channels; the record of latencies and the last queues.

    With the ``round`` model there is one queue, and what it is charged is the largest latency.
    """
    rng = random_stream(3, "queue-play")
    counts = np.arange(1, 9)
    bits = [0, *(20_000 * np.arange(1, 9)).tolist()]
    weights = [0.2, 0.3, 0.5]
    queues = [BUDGET_S] * 3
    record, grants = [], []
    for _ in range(ROUNDS):
        grant_s = float(grant_mean_s * rng.uniform(0.8, 1.2))
        curves = [[(b, float(e * 0.6**i)) for i, b in enumerate(bits)] for e in rng.uniform(0.5, 2.0, 3)]
        snr = 10 * rng.exponential(1.0, 3)
        clients = [
            ClientInstance(
                name=f"c{n}",
                weight=weights[n],
                queue_s=queues[n],
                compute_s=grant_s,
                overhead_s=0.01,
                rate_bps=(5e3 * counts * np.log2(1 + snr[n] * 8 / counts)).tolist(),
                curve=curve,
            )
            for n, curve in enumerate(scale_energies(curves, weights, 1e-12, 1.0))
        ]
        answer = solve(
            Instance(
                rb_total=8,
                guard_rb=1,
                V=20.0,
                latency_model=model,
                queue_s=queues[0],
                deadline_s=DEADLINE_S,
                clients=clients,
            )
        )
        latencies = [realised_latency_s(grant_s, a.latency_s - grant_s, DEADLINE_S) for a in answer.clients]
        if model == "round":
            latencies = [max(latencies)] * len(latencies)
        queues = [next_queue_s(q, latency, BUDGET_S) for q, latency in zip(queues, latencies, strict=True)]
        record.append(latencies)
        grants.append(grant_s)
    return np.array(record), queues, grants


@pytest.mark.parametrize("model", ["per-client", "round"])
def test_a_feasible_budget_is_met_in_the_long_run(model):
    record, queues, grants = play(grant_mean_s=2.0, model=model)
    assert feasibility(grants, BUDGET_S).feasible
    for latencies, queue in zip(record.T, queues, strict=True):
        assert latencies.mean() <= mean_latency_limit_s(BUDGET_S, queue, ROUNDS, BUDGET_S) + 1e-9
    assert max((q - BUDGET_S) / ROUNDS for q in queues) <= 0.01 * BUDGET_S
    assert record.mean(axis=0).max() <= 1.01 * BUDGET_S
    assert record.mean() > 3.0  # the budget is used, not only kept


def test_an_infeasible_budget_is_named_with_its_figure():
    verdict = feasibility([6.0, 7.0], BUDGET_S)
    assert not verdict.feasible
    assert "no allocation can meet the latency budget" in verdict.sentence
    assert "training and sounding alone take 6.5 s, the latency budget 5 s" in verdict.sentence
    assert "can be met" in feasibility([4.0], BUDGET_S).sentence
    assert feasibility([0.30123], 0.001).sentence.endswith("0.3012 s, the latency budget 0.001 s")


def test_the_realised_latency_is_capped_at_the_deadline():
    assert realised_latency_s(2.0, 1.5, 15.0) == 3.5
    assert realised_latency_s(2.0, 20.0, 15.0) == 15.0


def test_energies_share_one_scale_whose_weighted_total_is_one():
    curves = [[(0, 4.0), (10, 1.0)], [(0, 0.5)]]
    scaled = scale_energies(curves, [0.25, 0.75], 1e-9, 1.0)
    assert 0.25 * scaled[0][0][1] + 0.75 * scaled[1][0][1] == pytest.approx(1.0)
    assert scaled[0][0][1] / scaled[1][0][1] == pytest.approx(8.0)
    assert [bits for bits, _ in scaled[0]] == [0, 10]


def test_a_power_of_the_unsent_share_keeps_both_ends_of_a_curve():
    curves = [[(0, 4.0), (10, 1.0), (20, 0.0)], [(0, 0.0), (5, 0.0)]]
    scaled = scale_energies(curves, [0.25, 0.75], 1e-9, 2.0)
    assert scaled == [[(0, 4.0), (10, pytest.approx(0.25)), (20, 0.0)], [(0, 0.0), (5, 0.0)]]


def test_vanishing_energies_are_divided_by_the_floor():
    assert scale_energies([[(0, 1e-12)]], [1.0], 1e-3, 1.0) == [[(0, 1e-9)]]
