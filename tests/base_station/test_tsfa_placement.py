"""TSFA with rates that depend on the place in the band, against an enumeration of every placement."""

import contextlib
import math
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placements import CLOSE, best_of, check_allocation, coarse_instance, enumerate_answers

from base_station.tsfa import placement
from base_station.tsfa.problem import ClientInstance, Instance
from base_station.tsfa.solver import solve
from benchmarks.tsfa_speed import random_instance
from protocol.errors import ConfigurationError

MODELS = ["per-client", "round"]


def assert_equals_enumeration(instance):
    allocation = solve(instance)
    check_allocation(instance, allocation)
    assert allocation.exact
    best = best_of(enumerate_answers(instance))
    assert allocation.objective == pytest.approx(best.objective, abs=CLOSE)
    assert max(c.latency_s for c in allocation.clients) == pytest.approx(best.largest_latency_s, abs=CLOSE)
    assert sum(c.rb_count for c in allocation.clients) == best.rb_count


@contextlib.contextmanager
def steps(direct, pruned):
    """Limits of the solver's exact parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "DIRECT_STEPS", direct)
        patch.setattr(placement, "PRUNED_STEPS", pruned)
        yield


@pytest.mark.parametrize("model", MODELS)
def test_the_answer_and_its_ties_equal_enumeration(model):
    for seed in range(200):
        assert_equals_enumeration(coarse_instance(seed, model))


@pytest.mark.parametrize("model", MODELS)
def test_so_do_the_ones_found_after_pruning_by_the_bound(model):
    with steps(direct=0, pruned=2**30):
        for seed in range(200):
            assert_equals_enumeration(coarse_instance(seed, model))


@pytest.mark.parametrize("model", MODELS)
def test_the_certificate_holds_without_any_exact_part(model):
    found = 0
    for seed in range(200):
        instance = coarse_instance(seed, model)
        with steps(direct=0, pruned=0):
            allocation = solve(instance)
        check_allocation(instance, allocation)
        best = min(a.objective for a in enumerate_answers(instance))
        assert allocation.lower_bound <= best + CLOSE
        assert best <= allocation.objective + CLOSE
        assert not allocation.exact or allocation.objective == pytest.approx(best, abs=CLOSE)
        found += allocation.objective <= best + CLOSE
    assert found >= 190  # a heuristic, but not a bad one


numbers = st.floats(0.0, 10.0, allow_subnormal=False)


@st.composite
def clients(draw, name, rb_total):
    """Values of any kind, unlike the coarse ones above."""
    bits = sorted(draw(st.sets(st.integers(1, 10**6), max_size=2)))
    energies = sorted(draw(st.lists(numbers, min_size=len(bits) + 1, max_size=len(bits) + 1)), reverse=True)
    rates = st.floats(0.0, 1e6)
    rows = [draw(st.lists(rates, max_size=rb_total - k)) for k in range(draw(st.integers(0, rb_total)))]
    by_place = draw(st.booleans())
    return ClientInstance(
        name=name,
        weight=draw(numbers),
        queue_s=draw(numbers),
        compute_s=draw(numbers),
        overhead_s=draw(numbers),
        rate_bps_at=rows if by_place else None,
        rate_bps=None if by_place else draw(st.lists(rates, max_size=4)),
        curve=list(zip([0, *bits], energies, strict=True)),
    )


@st.composite
def instances(draw):
    rb_total = draw(st.integers(0, 4))
    return Instance(
        rb_total=rb_total,
        guard_rb=draw(st.integers(0, 2)),
        V=draw(numbers),
        latency_model=draw(st.sampled_from(MODELS)),
        queue_s=draw(numbers),
        deadline_s=draw(st.none() | numbers),
        clients=[draw(clients(f"c{n}", rb_total)) for n in range(draw(st.integers(1, 3)))],
    )


@settings(max_examples=120, deadline=None, derandomize=True)
@given(instances(), st.sampled_from([(2**30, 0), (0, 2**30), (0, 0)]))
def test_objective_and_bound_enclose_enumeration_on_arbitrary_numbers(instance, limits):
    with steps(*limits):
        allocation = solve(instance)
    check_allocation(instance, allocation)
    best = min(a.objective for a in enumerate_answers(instance))
    tolerance = 1e-11 * max(1.0, best)
    assert allocation.lower_bound <= best + tolerance
    assert allocation.objective >= best - tolerance
    assert not allocation.exact or allocation.objective <= best + tolerance
    assert allocation.exact or limits == (0, 0)


def without_places(instance):
    """The same with goodput that is the same everywhere in the band, given for every place."""
    members = [
        msgspec.structs.replace(
            c,
            rate_bps=None,
            rate_bps_at=[[rate] * (instance.rb_total - k) for k, rate in enumerate(c.rate_bps[: instance.rb_total])],
        )
        for c in instance.clients
    ]
    return msgspec.structs.replace(instance, clients=members)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("count", [4, 8, 12])
def test_where_the_place_does_not_matter_both_ways_to_give_rates_agree(model, count):
    instance = random_instance(count, 28, 12, model, 0)
    by_count, by_place = solve(instance), solve(without_places(instance))
    check_allocation(without_places(instance), by_place)
    assert by_place.exact
    assert by_place.objective == pytest.approx(by_count.objective, rel=1e-12)
    assert sum(c.rb_count for c in by_place.clients) == sum(c.rb_count for c in by_count.clients)


def placed(name, good, rb_total=6, **changes):
    """A client whose goodput is 10 bit/s in each RB of ``good`` and 0 elsewhere."""
    of_rb = [10.0 if rb in good else 0.0 for rb in range(rb_total)]
    rows = [[sum(of_rb[s : s + k]) for s in range(rb_total - k + 1)] for k in range(1, rb_total + 1)]
    values = {"weight": 0.5, "queue_s": 0.1, "compute_s": 1.0, "rate_bps_at": rows, "curve": [(0, 1.0), (20, 0.2)]}
    return ClientInstance(name=name, **{**values, **changes})


def band(*members, **changes):
    return Instance(**{"rb_total": 6, "guard_rb": 1, "V": 1.0, "clients": list(members), **changes})


@pytest.mark.parametrize("model", MODELS)
def test_each_client_sits_where_its_channel_is_good(model):
    answer = solve(band(placed("a", {4, 5}), placed("b", {0, 1}), latency_model=model, queue_s=0.1))
    assert [(c.rb_start, c.rb_count, c.latency_s) for c in answer.clients] == [(4, 2, 2.0), (0, 2, 2.0)]


def test_a_client_without_places_makes_room_for_one_with_places():
    anywhere = placed("a", set(), rate_bps_at=None, rate_bps=[15.0, 20.0], queue_s=0.01)
    answer = solve(band(anywhere, placed("b", {0, 1, 2})))
    assert [(c.rb_start, c.rb_count) for c in answer.clients] == [(4, 2), (0, 3)]


def test_a_barred_block_stays_empty():
    rows = [[0.0 if s <= 2 < s + k else 10.0 * k for s in range(7 - k)] for k in range(1, 7)]
    answer = solve(band(placed("a", set(), rate_bps_at=rows, queue_s=0.2), placed("b", set(), rate_bps_at=rows)))
    assert all(2 not in range(c.rb_start, c.rb_start + c.rb_count) for c in answer.clients)
    assert sorted((c.rb_start, c.rb_count) for c in answer.clients) == [(0, 2), (3, 3)]


def test_a_client_that_fits_nowhere_is_silent():
    for rows in ([], [[]], [[0.0] * 6], [[], [0.0, 0.0]]):
        answer = solve(band(placed("a", {0}, rate_bps_at=rows)))
        assert (answer.clients[0].bits, answer.clients[0].rb_start, answer.exact) == (0, 0, True)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("count", "cpu_s"), [(4, {"per-client": 0.1, "round": 0.5}), (16, {"per-client": 3, "round": 3})]
)
def test_the_station_need_not_wait_for_the_answer(model, count, cpu_s):
    instance = random_instance(count, 28, 48, model, 0, placed=True)
    started = time.process_time()
    allocation = solve(instance)
    assert time.process_time() - started < cpu_s[model]
    check_allocation(instance, allocation)
    assert allocation.exact


def test_pruning_by_the_bound_keeps_the_best_of_twelve_clients(monkeypatch):
    monkeypatch.setattr(placement, "improve_order", lambda units, order, guard_rb: order[::-1])
    for draw in range(6):
        instance = random_instance(12, 28, 48, "per-client", draw, placed=True)
        pruned = solve(instance)
        with steps(direct=2**30, pruned=0):
            assert pruned.objective == pytest.approx(solve(instance).objective, rel=1e-12)
        check_allocation(instance, pruned)


@pytest.mark.parametrize("model", MODELS)
def test_the_certificate_holds_for_eight_clients(model):
    gaps = []
    for draw in range(10):
        instance = random_instance(8, 14, 2, model, draw, placed=True)
        with steps(direct=0, pruned=0):
            allocation = solve(instance)
        best = solve(instance).objective
        assert allocation.lower_bound <= best * (1 + 1e-12)
        assert best <= allocation.objective * (1 + 1e-12)
        gaps.append(allocation.gap)
    assert sum(gap > 1e-6 for gap in gaps) >= 5  # so that the bound is put to the test
    assert max(gaps) < 0.15


@pytest.mark.parametrize("model", MODELS)
def test_what_is_not_exact_is_within_a_few_per_cent(model):
    instance = random_instance(20, 36, 6, model, 0, placed=True)
    with steps(direct=0, pruned=0):
        allocation = solve(instance)
    check_allocation(instance, allocation)
    assert not allocation.exact
    assert 0.0 < allocation.gap < 0.04
    assert solve(instance).objective >= allocation.lower_bound


def test_clients_that_are_all_alike_leave_no_gap():
    instance = random_instance(16, 28, 48, "per-client", 0, placed=True)
    alike = [msgspec.structs.replace(instance.clients[0], name=f"c{n}") for n in range(16)]
    assert solve(msgspec.structs.replace(instance, clients=alike)).gap == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_bps": [1.0]}, "give either rate_bps or rate_bps_at; both are given"),
        ({"rate_bps_at": None}, "give either rate_bps or rate_bps_at; neither is given"),
        ({"rate_bps_at": [[1.0, math.nan]]}, r"rate_bps_at\[0\] must be finite"),
        ({"rate_bps_at": [[], [-1.0]]}, r"rate_bps_at\[1\] must be finite and at least 0"),
        ({"rate_bps_at": [[1.0] * 6, [1.0] * 6]}, r"rate_bps_at\[1\] has 6 entries, but 2 RBs have 5 starts"),
        ({"rate_bps_at": [[]] * 7}, "rate_bps_at has 7 rows, but the band has 6 RBs"),
    ],
)
def test_rates_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigurationError, match=f"client 'a': {message}"):
        solve(band(placed("a", {0}, **changes)))


def test_a_band_too_wide_for_placement_is_refused():
    with pytest.raises(ConfigurationError, match="rb_total must be at most 300 with rate_bps_at, got 301"):
        solve(band(placed("a", {0}), rb_total=301))
    assert np.isfinite(solve(band(placed("a", {0}), rb_total=300)).objective)
