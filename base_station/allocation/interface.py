"""What a rule of allocation is, the answers it gives, and the check that every answer passes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.problem import Allocation, ClientAllocation, ClientInstance, Instance
from base_station.tsfa.solver import objective_of, rate_at
from protocol.configuration import TsfaTable

Allocator = Callable[[Instance, TsfaTable], Allocation]
"""Decides the grants of one round. Answers are in the order of the instance's clients.

``objective`` is TSFA's at these grants, whatever the rule is after. ``gap`` and ``exact`` are those of the problem the
rule solves. ``lower_bound`` holds for all answers of the rule's kind if it minimises that objective; else it is the
objective.
"""


class Grant(NamedTuple):
    """RBs of one client."""

    rb_start: int
    rb_count: int


def sending(client: ClientInstance, grant: Grant, point: int) -> ClientAllocation:
    """The client sends a point (not the first) of its curve with the RBs granted."""
    bits, energy = client.curve[point]
    airtime_s = bits / rate_at(client, *grant)
    return ClientAllocation(
        name=client.name, rb_start=grant.rb_start, rb_count=grant.rb_count, bits=bits, energy=energy,
        latency_s=client.compute_s + client.overhead_s + airtime_s,
    )  # fmt: skip


def silent(client: ClientInstance) -> ClientAllocation:
    """The client sends nothing."""
    bits, energy = client.curve[0]
    return ClientAllocation(
        name=client.name, rb_start=0, rb_count=0, bits=bits, energy=energy, latency_s=client.compute_s
    )


def grants_of(allocation: Allocation) -> list[Grant | None]:
    """RBs of each client; None for those that are silent."""
    return [Grant(c.rb_start, c.rb_count) if c.rb_count else None for c in allocation.clients]


def judged(instance: Instance, clients: list[ClientAllocation], solved: Allocation | None = None) -> Allocation:
    """An answer that was not found by its objective; ``solved``: the problem that was solved instead, if one was."""
    objective = objective_of(instance, clients)
    return Allocation(
        clients=clients, objective=objective, lower_bound=objective, gap=solved.gap if solved else 0.0,
        exact=solved.exact if solved else True, solve_s=0.0,
    )  # fmt: skip


def rate_square(client: ClientInstance, rb_total: int) -> NDArray[np.float64]:
    """Goodput of every grant, bit/s, (K, K) at [RBs - 1, first RB]; 0 where it cannot be used."""
    square = np.zeros((rb_total, rb_total))
    if client.rate_bps_at is not None:
        for index, row in enumerate(client.rate_bps_at):
            square[index, : len(row)] = row
    for index, rate in enumerate((client.rate_bps or [])[:rb_total]):
        square[index, : rb_total - index] = rate
    return square


def limit_s(instance: Instance) -> float:
    """Latency that nobody who sends may exceed, s."""
    return math.inf if instance.deadline_s is None else instance.deadline_s


def check_answer(instance: Instance, clients: Sequence[ClientAllocation], *, limited: bool = True) -> None:
    """Raise AssertionError if an answer cannot be carried out; without ``limited`` band and deadline are no limit."""
    taken: list[tuple[int, int]] = []
    for client, given in zip(instance.clients, clients, strict=True):
        fault = _fault(instance, client, given)
        if limited and given.rb_count and given.latency_s > limit_s(instance):
            fault = fault or "too late"
        if fault:
            raise AssertionError(f"allocation of {client.name}: {fault}: {given}")
        if given.rb_count:
            taken.append((given.rb_start, given.rb_start + given.rb_count))
    for (_, end), (start, _) in itertools.pairwise(sorted(taken)):
        if limited and start - end < instance.guard_rb:
            raise AssertionError(f"grants closer than {instance.guard_rb} RBs: {sorted(taken)}")


def _fault(instance: Instance, client: ClientInstance, given: ClientAllocation) -> str:
    if given.name != client.name or (given.bits, given.energy) not in client.curve:
        return "not a point of the client's curve"
    if given.rb_count == 0 or given.bits == 0:
        return "" if given == silent(client) else "neither sends nor is silent"
    if given.rb_start < 0 or given.rb_count < 0 or given.rb_start + given.rb_count > instance.rb_total:
        return "outside the band"
    try:
        airtime_s = given.bits / rate_at(client, given.rb_start, given.rb_count)
    except (IndexError, ZeroDivisionError):
        return "RBs that the client cannot use"
    latency_s = client.compute_s + client.overhead_s + airtime_s
    return "" if math.isclose(given.latency_s, latency_s) else "another latency than that of its bits"
