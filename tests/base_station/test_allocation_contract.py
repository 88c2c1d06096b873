"""What every rule of allocation keeps to: one suite, run by all of them."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placements import check_allocation, coarse_instance, usable

from base_station.allocation.interface import Grant, check_answer, sending, silent
from base_station.allocation.rules import ALLOCATORS, allocate
from base_station.tsfa.problem import ClientInstance, Instance
from base_station.tsfa.solver import objective_of, solve
from benchmarks.tsfa_speed import random_instance
from protocol.configuration import TsfaTable

RULES = list(ALLOCATORS)
LIMITED = [rule for rule in RULES if rule != "ideal"]
COUNTED = ("per-client", "round")


@st.composite
def instances(draw):
    """Both latency models, rates by place and by number, barred RBs, tight deadlines, more clients than places."""
    model, seed = draw(st.sampled_from(COUNTED)), draw(st.integers(0, 99))
    if draw(st.booleans()):
        return coarse_instance(seed, model)
    clients, rb_total = draw(st.integers(1, 7)), draw(st.integers(1, 12))
    instance = random_instance(clients, rb_total, draw(st.integers(2, 9)), model, seed, draw(st.booleans()))
    return msgspec.structs.replace(
        instance,
        V=draw(st.sampled_from([0.0, 0.03, 1.0, 30.0])),
        guard_rb=draw(st.integers(0, 2)),
        queue_s=draw(st.sampled_from([0.0, 0.02, 0.2])),
        deadline_s=draw(st.sampled_from([None, 1.5, 4.0])),
    )


def settings_of(rule, **keys):
    return TsfaTable(allocation=rule, latency_budget_s=2.0, **keys)


@pytest.mark.parametrize("rule", LIMITED)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(instance=instances())
def test_the_answer_obeys_the_instance_and_is_never_better_than_the_best(rule, instance):
    answer = allocate(instance, settings_of(rule))
    check_allocation(instance, answer)
    assert answer.objective == objective_of(instance, answer.clients)
    best = solve(instance)
    assert best.exact
    scale = objective_of(instance, [silent(c) for c in instance.clients])
    assert answer.objective >= best.objective - 1e-11 * scale
    if rule in ("tsfa", "genie"):
        assert answer.objective == best.objective


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(instance=instances(), shuffler=st.randoms())
def test_the_order_of_the_clients_changes_nothing_but_the_order(rule, instance, shuffler):
    answer = allocate(instance, settings_of(rule))
    clients = list(instance.clients)
    shuffler.shuffle(clients)
    shuffled = allocate(msgspec.structs.replace(instance, clients=clients), settings_of(rule))
    assert [c.name for c in shuffled.clients] == [c.name for c in clients]
    assert {c.name: c for c in shuffled.clients} == {c.name: c for c in answer.clients}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(instance=instances())
def test_all_are_silent_when_nobody_is_heard(rule, instance):
    clients = [msgspec.structs.replace(c, rate_bps=None, rate_bps_at=[]) for c in instance.clients]
    deaf = msgspec.structs.replace(instance, clients=clients)
    answer = allocate(deaf, settings_of(rule))
    assert answer.clients == [silent(c) for c in clients]
    assert answer.gap == 0.0


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("ideal", "equal-fixed", "equal-finish")])
def test_nobody_sends_what_is_worth_nothing_at_a_long_queue(rule):
    instance = random_instance(4, 12, 6, "per-client", 1)
    clients = [msgspec.structs.replace(c, queue_s=1.0) for c in instance.clients]
    answer = allocate(msgspec.structs.replace(instance, V=1e-9, clients=clients), settings_of(rule))
    assert all(c.rb_count == 0 for c in answer.clients)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instance=instances())
def test_ideal_sends_whole_updates_from_all_that_are_heard(instance):
    answer = allocate(instance, settings_of("ideal"))
    for client, sent in zip(instance.clients, answer.clients, strict=True):
        rates = [rate for _, _, rate in usable(instance, client)]
        assert sent.bits == (client.curve[-1][0] if rates else 0)
        if sent.bits:
            airtime = sent.latency_s - client.compute_s - client.overhead_s
            assert airtime == pytest.approx(sent.bits / max(rates))


def small():
    curve = [(0, 1.0), (1000, 0.5), (2000, 0.0)]
    rates = [[1000.0, 1000.0, 0.0, 1000.0], [1500.0, 0.0, 0.0]]
    return Instance(
        rb_total=4, guard_rb=1, V=1.0, deadline_s=3.0,
        clients=[ClientInstance(name=n, weight=0.5, compute_s=1.0, rate_bps_at=rates, curve=curve) for n in "ab"],
    )  # fmt: skip


def test_the_check_lets_a_sound_answer_pass():
    instance = small()
    a, b = instance.clients
    check_answer(instance, [sending(a, Grant(0, 2), 1), sending(b, Grant(3, 1), 1)])
    check_answer(instance, [sending(a, Grant(0, 1), 2), silent(b)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bits": 1500}, "not a point"),
        ({"energy": 0.4}, "not a point"),
        ({"name": "b"}, "not a point"),
        ({"rb_count": 0}, "neither sends nor is silent"),
        ({"rb_start": 4}, "outside the band"),
        ({"rb_start": -1}, "outside the band"),
        ({"rb_start": 2}, "cannot use"),
        ({"rb_count": 3}, "cannot use"),
        ({"latency_s": 2.5}, "another latency"),
        ({"bits": 2000, "energy": 0.0, "latency_s": 3.0 + 1e-9}, "too late"),
    ],
)
def test_the_check_tells_what_cannot_be(change, told):
    instance = small()
    a, b = instance.clients
    wrong = msgspec.structs.replace(sending(a, Grant(0, 1), 1), **change)
    with pytest.raises(AssertionError, match=told):
        check_answer(instance, [wrong, silent(b)])


def test_the_check_tells_grants_that_are_too_close():
    instance = small()
    a, b = instance.clients
    together = [sending(a, Grant(0, 1), 1), sending(b, Grant(1, 1), 1)]
    with pytest.raises(AssertionError, match="closer than 1 RBs"):
        check_answer(instance, together)
    check_answer(instance, together, limited=False)
