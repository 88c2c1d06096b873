"""TSFA online: solve the allocation problem of one round."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np

from base_station.tsfa.knapsack import largest_gain, pack_side_by_side
from base_station.tsfa.options import Options, build_options
from base_station.tsfa.packing import Packer
from base_station.tsfa.placement import PlacementPacker
from base_station.tsfa.problem import Allocation, ClientAllocation, ClientInstance, Instance, check_instance
from base_station.tsfa.search import Grants, search_per_client, search_round


def solve(instance: Instance) -> Allocation:
    """The allocation of least objective; among equal ones the smallest largest latency, then fewest RBs.

    Objectives within a few 1e-14 of the sum of V weight energy, per RB, count as equal. The objective
    is the one of the ``allocate`` command (ours). With many clients whose rates depend on the place the
    answer may be a good one and not the best: then ``exact`` is false and ``gap`` says how good.
    Raises ConfigurationError for an instance that makes no sense.
    """
    check_instance(instance)
    started = time.perf_counter()
    per_client = instance.latency_model == "per-client"
    price = np.array([c.queue_s if per_client else 0.0 for c in instance.clients])
    options = build_options(instance, price)
    pack = _packer(instance, options)
    answer = search_per_client(options, pack) if per_client else search_round(options, pack, instance.queue_s)
    clients = place(instance, answer.grants)
    objective = objective_of(instance, clients)
    silent = objective_of(instance, place(instance, _nobody(len(clients))))
    bound = objective
    if not answer.exact:
        bound = min(silent - answer.saving_limit, objective)
    elif per_client and not instance.placed:
        bound = min(_lagrangian_bound(instance, options, silent), objective)
    gap = (objective - bound) / (silent - bound) if silent > bound else 0.0
    return Allocation(
        clients=clients,
        objective=objective,
        lower_bound=bound,
        gap=gap,
        exact=answer.exact,
        solve_s=time.perf_counter() - started,
    )


def _packer(instance: Instance, options: Options) -> Packer:
    if options.rb_start is None:
        return partial(pack_side_by_side, guard_rb=instance.guard_rb, rb_total=instance.rb_total)
    last = options.rb_start + options.rb_count - 1
    return PlacementPacker(options.rb_start, last, instance.guard_rb, instance.rb_total, len(instance.clients))


def place(instance: Instance, grants: Grants) -> list[ClientAllocation]:
    """What each client may send; a silent client's start is 0."""
    rows = (instance.clients, grants.rb_start.tolist(), grants.rb_count.tolist(), grants.point.tolist())
    placed = []
    for client, start, count, point in zip(*rows, strict=True):
        bits, energy = client.curve[point]
        latency = client.compute_s
        if count:
            latency = client.compute_s + client.overhead_s + bits / rate_at(client, start, count)
        placed.append(
            ClientAllocation(
                name=client.name, rb_start=start, rb_count=count, bits=bits, energy=energy, latency_s=latency
            )
        )
    return placed


def rate_at(client: ClientInstance, rb_start: int, rb_count: int) -> float:
    """Goodput of a client with these RBs, bit/s; IndexError where it has none."""
    if client.rate_bps_at is not None:
        return client.rate_bps_at[rb_count - 1][rb_start]
    return (client.rate_bps or [])[rb_count - 1]


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
    nothing = np.zeros(count, np.int64)
    return Grants(nothing, nothing, nothing, gain=0.0, gain_limit=0.0, largest_latency_s=0.0)


def _lagrangian_bound(instance: Instance, options: Options, silent: float) -> float:
    best_gain = options.gain.max(axis=2, initial=0.0)
    return silent - largest_gain(best_gain, instance.guard_rb, instance.rb_total)
