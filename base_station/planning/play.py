"""The online stage played on drawn channels and recorded error curves: no radio, no training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from base_station.planning.channels import DrawnRound
from base_station.tsfa.energies import scale_energies
from base_station.tsfa.problem import ClientInstance, CurvePoint, Instance
from base_station.tsfa.queues import next_queue_s
from base_station.tsfa.solver import solve
from protocol.configuration import Experiment
from radio.limits import experiment_numerology

ENERGY_FLOOR = 1e-12
"""As in a run."""
LOWEST_V, HIGHEST_V = 1e-3, 1e5
V_STEPS = 12
"""Halvings of the logarithm of V's range."""
NEAR = 0.05
"""A stationary queue this close to the budget, relative, is close enough."""

Curves = Mapping[str, Sequence[CurvePoint]]
"""Error curve by client."""


@dataclass(frozen=True)
class PlayedStage:
    """What the online stage came to with one V."""

    V: float
    unsent_energy: float
    """Mean over rounds of ``sum_n w_n E_n(bits granted)``."""
    unsent_share: float
    """Mean over rounds of that over ``sum_n w_n E_n(0)``."""
    mean_latency_s: float
    stationary_queue_s: float
    """Mean queue over clients and the later half of the rounds."""
    mean_bits: float
    """Granted per client and round."""


def play(
    experiment: Experiment, V: float, rounds: Sequence[DrawnRound], curves: Sequence[Curves],
    weights: Mapping[str, float], compute_s: float,
) -> PlayedStage:  # fmt: skip
    """Play ``rounds`` with the error ``curves`` in turn; every client is charged what was predicted."""
    tsfa = experiment.tsfa
    queues = dict.fromkeys(weights, tsfa.latency_budget_s)
    common_s = tsfa.latency_budget_s
    unsent, shares, latencies, bits, later = [], [], [], [], []
    for t, drawn in enumerate(rounds):
        now = curves[t % len(curves)]
        instance = _instance(experiment, V, drawn, now, weights, queues, common_s, compute_s + drawn.sounding_s)
        answer = solve(instance).clients
        unsent.append(math.fsum(weights[a.name] * _energy(now[a.name], a.bits) for a in answer))
        whole = math.fsum(weights[a.name] * now[a.name][0][1] for a in answer)
        shares.append(unsent[-1] / max(whole, ENERGY_FLOOR))
        for a in answer:
            queues[a.name] = next_queue_s(queues[a.name], a.latency_s, tsfa.latency_budget_s)
        common_s = next_queue_s(common_s, max(a.latency_s for a in answer), tsfa.latency_budget_s)
        latencies += [a.latency_s for a in answer]
        bits += [a.bits for a in answer]
        if 2 * t >= len(rounds):
            later.append(common_s if tsfa.latency_model == "round" else _mean(list(queues.values())))
    return PlayedStage(V, _mean(unsent), _mean(shares), _mean(latencies), _mean(later), _mean(bits))


def choose_v(
    experiment: Experiment, rounds: Sequence[DrawnRound], curves: Sequence[Curves], weights: Mapping[str, float],
    compute_s: float,
) -> PlayedStage:  # fmt: skip
    """The stage with the V whose stationary queue is about the latency budget, found by bisection of log V.

    The queue rises with V. Where even the highest V leaves it lower, everything worth sending fits the budget, and
    the highest is taken.
    """
    budget_s = experiment.tsfa.latency_budget_s
    low, high = math.log(LOWEST_V), math.log(HIGHEST_V)
    best = play(experiment, HIGHEST_V, rounds, curves, weights, compute_s)
    if best.stationary_queue_s <= budget_s:
        return best
    for _ in range(V_STEPS):
        middle = (low + high) / 2
        stage = play(experiment, math.exp(middle), rounds, curves, weights, compute_s)
        if abs(stage.stationary_queue_s - budget_s) < abs(best.stationary_queue_s - budget_s):
            best = stage
        if abs(stage.stationary_queue_s - budget_s) <= NEAR * budget_s:
            break
        low, high = (low, middle) if stage.stationary_queue_s > budget_s else (middle, high)
    return best


def _instance(
    experiment: Experiment, V: float, drawn: DrawnRound, curves: Curves, weights: Mapping[str, float],
    queues: Mapping[str, float], common_s: float, barrier_s: float,
) -> Instance:  # fmt: skip
    names = list(weights)
    scaled = scale_energies(
        [curves[n] for n in names], [weights[n] for n in names], ENERGY_FLOOR, experiment.tsfa.error_power
    )
    clients = [
        ClientInstance(
            name=name, weight=weights[name], queue_s=queues[name], compute_s=barrier_s, overhead_s=0.0,
            rate_bps_at=drawn.rates[name].rows() if name in drawn.rates else [], curve=curve,
        )
        for name, curve in zip(names, scaled, strict=True)
    ]  # fmt: skip
    return Instance(
        rb_total=experiment_numerology(experiment).rb_total, guard_rb=experiment.radio.guard_rb, V=V,
        latency_model=experiment.tsfa.latency_model, queue_s=common_s,
        deadline_s=max(experiment.deadline_s, barrier_s), clients=clients,
    )  # fmt: skip


def _energy(curve: Sequence[CurvePoint], bits: float) -> float:
    return next(energy for size, energy in curve if size == bits)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
