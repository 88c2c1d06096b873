"""TSFA with rates that depend on the place in the band, against an enumeration of every placement."""

import contextlib
import dataclasses
import itertools
import math
import random
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_station.tsfa import placement
from base_station.tsfa.problem import ClientInstance, Instance
from base_station.tsfa.solver import solve
from benchmarks.tsfa_speed import random_instance
from protocol.errors import ConfigurationError

CLOSE = 1e-9
MODELS = ["per-client", "round"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """Objective, then the tie-breaks."""

    objective: float
    largest_latency_s: float
    rb_count: int


def usable(instance, client):
    """(first RB, RBs, goodput) of every placement the client may use, by the words of the contract."""
    for count, start in itertools.product(range(1, instance.rb_total + 1), range(instance.rb_total)):
        if start + count <= instance.rb_total:
            if client.rate_bps is not None:
                rate = client.rate_bps[count - 1] if count <= len(client.rate_bps) else 0.0
            else:
                row = client.rate_bps_at[count - 1] if count <= len(client.rate_bps_at) else []
                rate = row[start] if start < len(row) else 0.0
            if rate > 0.0:
                yield start, count, rate


def choices(instance, client):
    """(first RB, RBs, weighted energy, latency) of everything the client may do, silence first."""
    scale = instance.V * client.weight
    yield 0, 0, scale * client.curve[0][1], client.compute_s
    for start, count, rate in usable(instance, client):
        for bits, energy in client.curve[1:]:
            latency = client.compute_s + client.overhead_s + bits / rate
            if instance.deadline_s is None or latency <= instance.deadline_s:
                yield start, count, scale * energy, latency


def enumerate_answers(instance):
    """Every allowed allocation, grants in any order along the band, as an Answer."""
    options = [list(choices(instance, client)) for client in instance.clients]
    price = [c.queue_s if instance.latency_model == "per-client" else 0.0 for c in instance.clients]

    def extend(index, taken, priced, largest):
        if index == len(options):
            total = priced + (instance.queue_s * largest if instance.latency_model == "round" else 0.0)
            yield Answer(total, largest, sum(last - first + 1 for first, last in taken))
            return
        for start, count, energy, latency in options[index]:
            first, last = start, start + count - 1
            far = instance.guard_rb
            if count and not all(first - b - 1 >= far or a - last - 1 >= far for a, b in taken):
                continue
            grants = [*taken, (first, last)] if count else taken
            yield from extend(index + 1, grants, priced + energy + price[index] * latency, max(largest, latency))

    yield from extend(0, [], 0.0, 0.0)


def best_by_enumeration(instance):
    answers = set(enumerate_answers(instance))
    objective = min(a.objective for a in answers)
    ties = [a for a in answers if a.objective <= objective + CLOSE]
    latency = min(a.largest_latency_s for a in ties)
    return Answer(objective, latency, min(a.rb_count for a in ties if a.largest_latency_s <= latency + CLOSE))


def check_allocation(instance, allocation):
    """The grants obey the instance, and the reported figures follow from them."""
    taken = []
    for client, granted in zip(instance.clients, allocation.clients, strict=True):
        assert granted.name == client.name
        assert (granted.bits, granted.energy) in client.curve
        assert (granted.bits > 0) == (granted.rb_count > 0)
        latency = client.compute_s
        if granted.rb_count:
            rates = {(start, count): rate for start, count, rate in usable(instance, client)}
            latency += client.overhead_s + granted.bits / rates[granted.rb_start, granted.rb_count]
            assert instance.deadline_s is None or granted.latency_s <= instance.deadline_s
            taken.append((granted.rb_start, granted.rb_start + granted.rb_count))
        else:
            assert granted.rb_start == 0
        assert granted.latency_s == pytest.approx(latency)
    for (_, end), (start, _) in itertools.pairwise(sorted(taken)):
        assert start - end >= instance.guard_rb
    assert all(end <= instance.rb_total for _, end in taken)
    assert allocation.lower_bound <= allocation.objective
    assert 0.0 <= allocation.gap <= 1.0
    if instance.placed and allocation.exact:
        assert allocation.gap == 0.0


def assert_equals_enumeration(instance):
    allocation = solve(instance)
    check_allocation(instance, allocation)
    assert allocation.exact
    best = best_by_enumeration(instance)
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


def coarse_instance(seed, model):
    """Coarse values, so that ties are common; barred RBs, short rows, clients without places and without rates."""
    rng = random.Random(f"placed-{seed}-{model}")
    rb_total = rng.choice([2, 4, 5, 5])
    barred = rng.choice([None, None, rng.randrange(rb_total)])
    members = []
    for index in range(rng.choice([1, 3, 4, 4])):
        bits = [0, *sorted(rng.sample(range(1, 9), rng.choice([0, 2, 2, 2, 2])))]
        energies = sorted((rng.choice([0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 1.0]) for _ in bits), reverse=True)
        rows = []
        for count in range(1, rng.choice([0, *[rb_total] * 5, rb_total - 1]) + 1):
            row = [rng.choice([0.0, 2.0, 4.0, 8.0, 8.0, 16.0]) * count for _ in range(rb_total - count + 1)]
            row = [0.0 if barred is not None and s <= barred < s + count else rate for s, rate in enumerate(row)]
            rows.append(row[: rng.choice([*[len(row)] * 4, rng.randrange(len(row) + 1)])])
        flat = [rng.choice([0.0, 1.0, 2.0, 4.0]) for _ in range(rng.randrange(rb_total + 2))]
        by_place = rng.random() < 0.75
        members.append(
            ClientInstance(
                name=f"c{index}",
                weight=rng.choice([0.0, 0.25, 0.5, 0.5, 0.5, 1.0]),
                queue_s=rng.choice([0.0, 0.01, 0.02, 0.05, 0.1]),
                compute_s=rng.choice([0.0, 1.0, 1.0, 2.0]),
                overhead_s=rng.choice([0.0, 0.1, 0.5]),
                rate_bps=None if by_place else flat,
                rate_bps_at=rows if by_place else None,
                curve=list(zip(bits, energies, strict=True)),
            )
        )
    return Instance(
        rb_total=rb_total,
        guard_rb=rng.choice([0, 0, 1, 1, 2]),
        V=rng.choice([0.5, 1.0, 3.0]),
        latency_model=model,
        queue_s=rng.choice([0.0, 0.01, 0.05, 0.1, 0.3]),
        deadline_s=rng.choice([None, None, None, 4.5, 6.0]),
        clients=members,
    )


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
