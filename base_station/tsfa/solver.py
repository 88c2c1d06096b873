"""TSFA online: solve the allocation problem of one round exactly."""

from __future__ import annotations

import math
import time

import numpy as np

from base_station.tsfa.knapsack import largest_gain
from base_station.tsfa.options import Options, build_options
from base_station.tsfa.problem import Allocation, ClientAllocation, Instance, check_instance
from base_station.tsfa.search import Grants, search_per_client, search_round


def solve(instance: Instance) -> Allocation:
    """The allocation of least objective; among equal ones the smallest largest latency, then fewest RBs.

    Objectives within a few 1e-14 of the sum of V weight energy, per RB, count as equal. The objective
    is the one of the ``allocate`` command (ours). Raises ConfigurationError for an instance that
    makes no sense.
    """
    check_instance(instance)
    started = time.perf_counter()
    per_client = instance.latency_model == "per-client"
    price = np.array([c.queue_s if per_client else 0.0 for c in instance.clients])
    options = build_options(instance, price)
    if per_client:
        grants = search_per_client(options, instance.guard_rb, instance.rb_total)
    else:
        grants = search_round(options, instance.guard_rb, instance.rb_total, instance.queue_s)
    clients = place(instance, grants)
    objective = objective_of(instance, clients)
    silent = objective_of(instance, place(instance, _nobody(len(clients))))
    # The round model's search ends when no interval of latencies can hold a better answer.
    bound = min(_lagrangian_bound(instance, options, silent), objective) if per_client else objective
    gap = (objective - bound) / (silent - bound) if silent > bound else 0.0
    solve_s = time.perf_counter() - started
    return Allocation(clients=clients, objective=objective, lower_bound=bound, gap=gap, exact=True, solve_s=solve_s)


def place(instance: Instance, grants: Grants) -> list[ClientAllocation]:
    """Put the grants side by side in input order, a guard between them; a silent client's start is 0."""
    placed = []
    start = 0
    for client, count, point in zip(instance.clients, grants.rb_count.tolist(), grants.point.tolist(), strict=True):
        bits, energy = client.curve[point]
        latency = client.compute_s
        if count:
            latency = client.compute_s + client.overhead_s + bits / client.rate_bps[count - 1]
        placed.append(
            ClientAllocation(
                name=client.name,
                rb_start=start if count else 0,
                rb_count=count,
                bits=bits,
                energy=energy,
                latency_s=latency,
            )
        )
        start += count + instance.guard_rb if count else 0
    return placed


def objective_of(instance: Instance, clients: list[ClientAllocation]) -> float:
    """The objective of any allocation of the instance's clients, in their order."""
    pairs = list(zip(instance.clients, clients, strict=True))
    energies = [instance.V * c.weight * a.energy for c, a in pairs]
    if instance.latency_model == "round":
        latencies = [instance.queue_s * max((a.latency_s for a in clients), default=0.0)]
    else:
        latencies = [c.queue_s * a.latency_s for c, a in pairs]
    return math.fsum(energies + latencies)


def _nobody(count: int) -> Grants:
    return Grants(np.zeros(count, np.int64), np.zeros(count, np.int64), 0.0, 0.0)


def _lagrangian_bound(instance: Instance, options: Options, silent: float) -> float:
    best_gain = options.gain.max(axis=2, initial=0.0)
    return silent - largest_gain(best_gain, instance.guard_rb, instance.rb_total)
