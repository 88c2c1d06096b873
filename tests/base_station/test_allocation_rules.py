"""What each rule of allocation is after, beside plain enumeration on small instances."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from placements import CLOSE, coarse_instance, usable

from base_station.allocation.parts import rate_squares, usable_rbs, widest_parts
from base_station.allocation.points import point_of_share
from base_station.allocation.rules import allocate
from base_station.tsfa.problem import ClientInstance, Instance
from base_station.tsfa.solver import objective_of, rate_at, solve
from benchmarks.tsfa_speed import random_instance
from protocol.configuration import TsfaTable

SEEDS = range(60)
MODELS = ("per-client", "round")


def ruled(rule, instance, **keys):
    return allocate(instance, TsfaTable(allocation=rule, latency_budget_s=2.0, **keys))


def coarse(seed):
    """Where everybody has something to send at no price, and enough time, so that all RBs granted are used."""
    instance = coarse_instance(seed, "per-client")
    clients = [
        msgspec.structs.replace(c, weight=0.25, queue_s=0.0, curve=[(0, 1.0), (1, 0.5), (10, 0.0)])
        for c in instance.clients
    ]
    return msgspec.structs.replace(instance, clients=clients, deadline_s=3.5, queue_s=0.0)


def all_grants(instance):
    """Every allowed choice of RBs, as the goodput of each client (0: no RBs)."""
    options = [[(0, 0, 0.0), *usable(instance, c)] for c in instance.clients]
    for grants in itertools.product(*options):
        taken = sorted((start, start + count) for start, count, _ in grants if count)
        if all(b[0] - a[1] >= instance.guard_rb for a, b in itertools.pairwise(taken)):
            yield [rate for _, _, rate in grants]


def goodputs(instance, answer):
    pairs = zip(instance.clients, answer.clients, strict=True)
    return [rate_at(c, a.rb_start, a.rb_count) if a.rb_count else 0.0 for c, a in pairs]


@pytest.mark.parametrize("seed", SEEDS)
def test_maximum_rate_and_proportional_fair_equal_enumeration(seed):
    instance = coarse(seed)
    choices = list(all_grants(instance))
    answer = ruled("maximum-rate", instance)
    assert answer.exact
    assert sum(goodputs(instance, answer)) == pytest.approx(max(map(sum, choices)))

    def fairness(rates):
        sent = [rate for rate in rates if rate]
        return len(sent), pytest.approx(math.fsum(map(math.log, sent)), abs=1e-9)

    answer = ruled("proportional-fair", instance)
    assert answer.exact
    most = max(sum(rate > 0 for rate in rates) for rates in choices)
    logs = [math.fsum(math.log(r) for r in rates if r) for rates in choices if sum(r > 0 for r in rates) == most]
    assert (most, max(logs)) == fairness(goodputs(instance, answer))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("deadline_s", [None, 4.0])
def test_equal_finish_equals_enumeration(seed, deadline_s):
    instance = msgspec.structs.replace(coarse(seed), deadline_s=deadline_s)
    answer = ruled("equal-finish", instance, fixed_share=0.8)
    assert answer.exact
    curve = instance.clients[0].curve
    limit = math.inf if deadline_s is None else deadline_s
    # At 80 % of 10 bits a client sends one bit.
    target = curve[point_of_share(instance.clients[0], 0.8)][0]
    assert target == 1
    possible = []
    for rates in all_grants(instance):
        ends = [c.compute_s + c.overhead_s + target / r for c, r in zip(instance.clients, rates, strict=True) if r]
        if max(ends, default=0.0) <= limit:
            slowest = max([*ends, *(c.compute_s for c in instance.clients)])
            possible.append((-len(ends), slowest))
    senders = sum(c.bits > 0 for c in answer.clients)
    best = min(possible)
    assert senders == -best[0]
    assert max(c.latency_s for c in answer.clients) == pytest.approx(best[1], abs=CLOSE)
    assert {c.bits for c in answer.clients} <= {0, target}


def test_equal_finish_sends_what_of_the_share_a_lone_client_could_send_in_time():
    curve = [(0, 1.0), (100, 0.6), (1000, 0.3), (2000, 0.0)]
    rates = {"near": [1000.0, 2000.0, 3000.0], "far": [40.0, 80.0, 100.0]}
    clients = [ClientInstance(name=n, weight=0.5, rate_bps=r, curve=curve) for n, r in rates.items()]
    answer = ruled(
        "equal-finish", Instance(rb_total=3, guard_rb=0, V=1.0, deadline_s=2.0, clients=clients), fixed_share=0.5
    )
    assert [(c.bits, c.rb_count) for c in answer.clients] == [(1000, 1), (100, 2)]


@pytest.mark.parametrize("rule", ["equal-fixed", "equal-adaptive"])
@pytest.mark.parametrize("model", MODELS)
def test_equal_bandwidth_is_the_widest_equal_part_for_everybody(rule, model):
    """Rates rise with the RBs here, so that everybody uses all of its part."""
    clients, rb_total = 5, 23
    instance = random_instance(clients, rb_total, 8, model, 0, placed=False)
    instance = msgspec.structs.replace(instance, V=1e6, deadline_s=None)
    answer = ruled(rule, instance, **({"fixed_share": 0.5} if rule == "equal-fixed" else {}))
    assert {c.rb_count for c in answer.clients} == {(rb_total + 1) // clients - 1}
    assert answer.exact


@pytest.mark.parametrize("draw", range(5))
def test_equal_parts_avoid_barred_rbs_and_nobody_leaves_its_part(draw):
    instance = msgspec.structs.replace(random_instance(4, 20, 8, "per-client", draw, placed=True), V=1e6)
    squares = rate_squares(instance)
    barred = np.flatnonzero(~usable_rbs(squares))
    assert len(barred) == 1
    starts, rb_count = widest_parts(usable_rbs(squares), 4, instance.guard_rb)
    widest = max(k for k in range(1, 21) if max_parts(20, k, int(barred[0]), 1) >= 4)
    assert rb_count == widest
    answer = ruled("equal-adaptive", instance)
    homes = [[s for s in starts if s <= c.rb_start and c.rb_start + c.rb_count <= s + rb_count] for c in answer.clients]
    assert all(len(home) == 1 for home in homes)
    assert len({home[0] for home in homes}) == 4
    assert all(c.rb_count == rb_count for c in answer.clients)


def max_parts(rb_total, rb_count, barred, guard_rb):
    """Parts on both sides of a barred RB, which leaves one guard RB or more between them."""
    return sum((side + guard_rb) // (rb_count + guard_rb) for side in (barred, rb_total - barred - 1))


def test_a_weak_client_uses_fewer_rbs_of_its_part():
    curve = [(0, 1.0), (100, 0.0)]
    strong = ClientInstance(name="strong", weight=0.5, rate_bps=[1.0, 2.0, 3.0, 4.0], curve=curve)
    weak = ClientInstance(name="weak", weight=0.5, rate_bps=[1.0, 0.5], curve=curve)
    answer = ruled("equal-adaptive", Instance(rb_total=9, guard_rb=1, V=1.0, clients=[strong, weak]))
    assert [c.rb_count for c in answer.clients] == [4, 1]


def test_with_more_clients_than_places_the_fastest_share_equally():
    curve = [(0, 1.0), (100, 0.0)]
    clients = [ClientInstance(name=f"c{i}", weight=0.2, rate_bps=[10.0 + i], curve=curve) for i in range(5)]
    answer = ruled("equal-adaptive", Instance(rb_total=5, guard_rb=1, V=1.0, clients=clients))
    assert [c.rb_count for c in answer.clients] == [0, 0, 1, 1, 1]


def test_parts_are_dealt_so_that_most_can_use_theirs():
    curve = [(0, 1.0), (100, 0.0)]
    choosy = ClientInstance(name="choosy", weight=0.5, rate_bps_at=[[1.0, 0.0]], curve=curve)
    other = ClientInstance(name="other", weight=0.5, rate_bps_at=[[10.0, 5.0]], curve=curve)
    answer = ruled("equal-adaptive", Instance(rb_total=2, guard_rb=0, V=1.0, clients=[choosy, other]))
    assert [(c.rb_start, c.rb_count) for c in answer.clients] == [(0, 1), (1, 1)]


@pytest.mark.parametrize("model", MODELS)
def test_fixed_sends_the_share_and_adaptive_is_never_worse(model):
    for draw in range(10):
        instance = msgspec.structs.replace(random_instance(4, 14, 12, model, draw, placed=True), deadline_s=None)
        for share in (0.05, 0.3, 1.0):
            fixed = ruled("equal-fixed", instance, fixed_share=share)
            for client, sent in zip(instance.clients, fixed.clients, strict=True):
                bits = [b for b, _ in client.curve]
                assert sent.bits == max(b for b in bits if b <= share * bits[-1] * (1 + 1e-9))
            assert fixed.objective >= ruled("equal-adaptive", instance).objective * (1 - 1e-12)


def test_a_fixed_share_is_cut_by_the_deadline():
    curve = [(0, 1.0), (100, 0.6), (1000, 0.3), (2000, 0.0)]
    client = ClientInstance(name="a", weight=1.0, rate_bps=[500.0], curve=curve)
    instance = Instance(rb_total=1, guard_rb=0, V=1.0, deadline_s=1.0, clients=[client])
    assert ruled("equal-fixed", instance, fixed_share=0.5).clients[0].bits == 100
    later = msgspec.structs.replace(instance, deadline_s=10.0)
    assert ruled("equal-fixed", later, fixed_share=0.5).clients[0].bits == 1000
    assert ruled("equal-fixed", later).clients[0].bits == 100


@pytest.mark.parametrize(("best_k", "senders"), [(None, 3), (1, 1), (2, 2), (4, 4), (5, 5)])
def test_best_k_serves_those_of_the_best_channels_alike(best_k, senders):
    curve = [(0, 1.0), (100, 0.0)]
    strength = [3.0, 1.0, 5.0, 2.0, 4.0]
    clients = [
        ClientInstance(name=f"c{i}", weight=0.2, rate_bps=[s * k for k in range(1, 13)], curve=curve)
        for i, s in enumerate(strength)
    ]
    clients.append(ClientInstance(name="c5", weight=0.2, rate_bps=[], curve=curve))
    answer = ruled("best-k", Instance(rb_total=12, guard_rb=1, V=1.0, clients=clients), best_k=best_k)
    chosen = [i for i, c in enumerate(answer.clients) if c.rb_count]
    assert chosen == sorted(sorted(range(5), key=lambda i: -strength[i])[:senders])
    assert {answer.clients[i].rb_count for i in chosen} == {13 // senders - 1}


@pytest.mark.parametrize("model", MODELS)
def test_without_queues_a_second_costs_what_it_did_in_the_first_round(model):
    for draw in range(5):
        instance = random_instance(5, 12, 8, model, draw, placed=True)
        first = [msgspec.structs.replace(c, queue_s=2.0) for c in instance.clients]
        as_first = solve(msgspec.structs.replace(instance, queue_s=2.0, clients=first))
        answer = ruled("tsfa-no-queue", instance)
        assert answer.clients == as_first.clients
        assert answer.objective == objective_of(instance, as_first.clients)


@pytest.mark.parametrize("model", MODELS)
def test_common_sparsity_is_the_best_single_share(model):
    for draw in range(5):
        instance = random_instance(4, 12, 5, model, draw, placed=True)
        shares = [bits / c.curve[-1][0] for c in instance.clients for bits, _ in c.curve[1:]]
        best = min(at_share(instance, share) for share in shares)
        answer = ruled("tsfa-common-sparsity", instance)
        assert answer.objective == pytest.approx(best, rel=1e-12)
        assert answer.exact
        assert answer.gap == 0.0


def at_share(instance, share):
    """The least objective if everybody sends that share of its bits or nothing."""
    clients = []
    for client in instance.clients:
        most = share * client.curve[-1][0] * (1 + 1e-9)
        point = max(i for i, (bits, _) in enumerate(client.curve) if bits <= most)
        clients.append(msgspec.structs.replace(client, curve=[client.curve[i] for i in sorted({0, point})]))
    return solve(msgspec.structs.replace(instance, clients=clients)).objective
