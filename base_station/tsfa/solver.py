"""TSFA online: solve the allocation problem of one round."""

from __future__ import annotations

import math
import time

import numpy as np

from base_station.tsfa.grants import Grants, Packer
from base_station.tsfa.options import Options, build_options
from base_station.tsfa.problem import Allocation, ClientAllocation, ClientInstance, Instance, check_instance
from base_station.tsfa.search import search_per_client, search_round
from base_station.tsfa.side_by_side import SideBySide


def solve(instance: Instance) -> Allocation:
    """The allocation of least objective; among equal ones the smallest largest latency, then fewest RBs.

    Objectives within a few 1e-14 of the sum of V weight energy, per RB, count as equal. The objective
    is the one of the ``allocate`` command (ours). With many clients whose rates depend on the place the
    answer may be a good one and not the best: then ``exact`` is false and ``gap`` says how good.
    Raises ConfigurationError for an instance that makes no sense.
    """
    started = time.perf_counter()
    check_instance(instance)
    per_client = instance.latency_model == "per-client"
    price = np.array([c.queue_s if per_client else 0.0 for c in instance.clients])
    packer = _packer(instance, build_options(instance, price))
    answer = search_per_client(packer) if per_client else search_round(packer, instance.queue_s)
    silence = [_silent(client) for client in instance.clients]
    clients = _granted(instance, silence, answer.grants)
    objective, silent = objective_of(instance, clients), objective_of(instance, silence)
    bound = objective if answer.saving_limit <= answer.saving else min(silent - answer.saving_limit, objective)
    return Allocation(
        clients=clients,
        objective=objective,
        lower_bound=bound,
        gap=(objective - bound) / (silent - bound) if silent > bound else 0.0,
        exact=answer.exact,
        solve_s=time.perf_counter() - started,
    )


def _packer(instance: Instance, options: Options) -> Packer:
    if options.rb_start is None:
        return SideBySide(options, instance.guard_rb, instance.rb_total)
    # numba: loaded only where places matter
    from base_station.tsfa.placement import PlacementPacker

    return PlacementPacker(options, instance.guard_rb, instance.rb_total)


def _silent(client: ClientInstance) -> ClientAllocation:
    bits, energy = client.curve[0]
    return ClientAllocation(
        name=client.name, rb_start=0, rb_count=0, bits=bits, energy=energy, latency_s=client.compute_s
    )


def _granted(instance: Instance, silence: list[ClientAllocation], grants: Grants) -> list[ClientAllocation]:
    """What each client may send; a silent client's start is 0."""
    allocated = silence.copy()
    rows = (grants.client, grants.rb_start, grants.rb_count, grants.point)
    for index, start, count, point in zip(*(row.tolist() for row in rows), strict=True):
        client = instance.clients[index]
        bits, energy = client.curve[point]
        allocated[index] = ClientAllocation(
            name=client.name,
            rb_start=start,
            rb_count=count,
            bits=bits,
            energy=energy,
            latency_s=client.compute_s + client.overhead_s + bits / rate_at(client, start, count),
        )
    return allocated


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
