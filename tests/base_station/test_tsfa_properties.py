"""What holds for the best allocation of any round, on instances too large to enumerate."""

import itertools
import math
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placements import check_allocation

from base_station.tsfa import knapsack, placement
from base_station.tsfa.problem import ClientAllocation
from base_station.tsfa.solver import objective_of, rate_at, solve
from benchmarks.tsfa_lp import calibrated_instance, round_relaxation
from benchmarks.tsfa_speed import random_instance

MODELS = ["per-client", "round"]
PLACED = 14
"""RBs of the band where rates depend on the place."""


@st.composite
def instances(draw, placed=False):
    """Random channels and curves; V and the queues from worthless to overwhelming, with a tight deadline or none."""
    by_place = placed and draw(st.booleans())
    clients, rb_total = draw(st.integers(1, 8 if by_place else 40)), PLACED if by_place else draw(st.integers(1, 60))
    points, model, seed = draw(st.integers(2, 12)), draw(st.sampled_from(MODELS)), draw(st.integers(0, 99))
    instance = random_instance(clients, rb_total, points, model, seed, by_place)
    return msgspec.structs.replace(
        instance,
        V=draw(st.sampled_from([0.0, 1e-3, 0.03, 1.0, 30.0])),
        guard_rb=draw(st.integers(0, 3)),
        queue_s=draw(st.sampled_from([0.0, 0.02, 0.2])),
        deadline_s=draw(st.sampled_from([None, 1.5, 4.0])),
    )


def worse_or_equal(objective, than):
    return objective >= than * (1 - 1e-11)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(instances(), st.randoms())
def test_the_objective_is_exact_feasible_and_the_same_in_any_order(instance, shuffler):
    allocation = solve(instance)
    check_allocation(instance, allocation)
    assert allocation.exact
    clients = list(instance.clients)
    shuffler.shuffle(clients)
    shuffled = solve(msgspec.structs.replace(instance, clients=clients))
    assert shuffled.objective == pytest.approx(allocation.objective, rel=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(instances(), st.integers(1, 5), st.integers(1, 3))
def test_a_wider_band_never_costs_and_wider_guards_never_gain(instance, more_rb, more_guard):
    objective = solve(instance).objective
    wider = solve(msgspec.structs.replace(instance, rb_total=instance.rb_total + more_rb)).objective
    apart = solve(msgspec.structs.replace(instance, guard_rb=instance.guard_rb + more_guard)).objective
    assert worse_or_equal(objective, wider)
    assert worse_or_equal(apart, objective)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances())
def test_nobody_sends_when_the_energy_saved_is_worth_less_than_any_airtime(instance):
    queued = [msgspec.structs.replace(c, queue_s=c.queue_s + 0.01) for c in instance.clients]
    least_s = min(c.overhead_s + c.curve[1][0] / max(c.rate_bps) for c in queued)
    most_saved = sum(c.weight * c.curve[0][1] for c in queued)
    tiny = 0.01 * least_s / most_saved * 0.99
    answer = solve(msgspec.structs.replace(instance, clients=queued, queue_s=0.01, V=tiny))
    assert all(c.rb_count == 0 for c in answer.clients)


def baselines(instance):
    """Allocations that need no solver: the band in equal parts for one, two, ... clients, each its best point in it."""
    orders = {
        "input order": list(range(len(instance.clients))),
        "weight": sorted(range(len(instance.clients)), key=lambda n: -instance.clients[n].weight),
        "rate": sorted(range(len(instance.clients)), key=lambda n: -fastest(instance.clients[n])),
    }
    for order, count in itertools.product(orders.values(), range(1, len(instance.clients) + 1)):
        chosen = sorted(order[:count])
        width = (instance.rb_total + instance.guard_rb) // count - instance.guard_rb
        if width >= 1:
            starts = {n: i * (width + instance.guard_rb) for i, n in enumerate(chosen)}
            yield [best_alone(instance, n, starts.get(n), width) for n in range(len(instance.clients))]


def fastest(client):
    rows = [client.rate_bps] if client.rate_bps_at is None else client.rate_bps_at
    return max((rate for row in rows for rate in row), default=0.0)


def best_alone(instance, n, start, width):
    """The point of the client's curve with the least cost of its own in these RBs; silence without any."""
    client = instance.clients[n]
    price = client.queue_s if instance.latency_model == "per-client" else instance.queue_s

    def priced(point):
        bits, energy = point
        allocation = ClientAllocation(
            name=client.name, rb_start=0, rb_count=0, bits=0, energy=energy, latency_s=client.compute_s
        )
        if bits and start is not None:
            rate = rate_at(client, start, width)
            latency = client.compute_s + client.overhead_s + (bits / rate if rate else math.inf)
            allocation = ClientAllocation(
                name=client.name, rb_start=start, rb_count=width, bits=bits, energy=energy, latency_s=latency
            )
        limit = sys.float_info.max if instance.deadline_s is None else instance.deadline_s
        possible = not bits or (allocation.rb_count and allocation.latency_s <= limit)
        cost = instance.V * client.weight * energy + price * allocation.latency_s if possible else math.inf
        return cost, allocation

    return min((priced(point) for point in client.curve), key=lambda found: found[0])[1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(placed=True))
def test_no_baseline_has_a_lower_objective(instance):
    objective = solve(instance).objective
    for allocation in baselines(instance):
        assert worse_or_equal(objective_of(instance, allocation), objective)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(instances(placed=True).filter(lambda instance: instance.latency_model == "per-client"))
def test_not_even_where_the_best_is_not_searched_for(instance):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knapsack, "MOST_STEPS", 0)
        patch.setattr(placement, "DIRECT_STEPS", 0)
        patch.setattr(placement, "PRUNED_STEPS", 0)
        answer = solve(instance)
    for allocation in baselines(instance):
        assert worse_or_equal(objective_of(instance, allocation), answer.objective)
    assert worse_or_equal(solve(instance).objective, answer.lower_bound)


@pytest.mark.parametrize("band", ["full", "half"])
def test_the_lower_bound_is_the_linear_relaxation_of_the_knapsack(band):
    for draw in range(3):
        instance = calibrated_instance(20, 50, 12, draw, band)
        ours, relaxed = solve(instance), round_relaxation(instance)
        assert ours.lower_bound == pytest.approx(relaxed.lower_bound, rel=1e-9)
        assert ours.objective <= relaxed.objective * (1 + 1e-12)
        assert (ours.gap > 1e-6) == (band == "full")


def test_a_thousand_clients_are_certified():
    instance = random_instance(1000, 273, 8, "per-client", 0)
    answer = solve(instance)
    check_allocation(instance, answer)
    assert answer.gap <= 1e-3
