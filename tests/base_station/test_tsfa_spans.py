"""The parts of the placement solver, each against an enumeration of all spans that fit together."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from base_station.tsfa import prices
from base_station.tsfa.knapsack import OUT_OF_BAND
from base_station.tsfa.orders import improve_order, place_in_order, sum_in_order
from base_station.tsfa.prices import search_prices
from base_station.tsfa.relaxation import Relaxation
from base_station.tsfa.spans import Span, total_units
from base_station.tsfa.subsets import place_exactly, subset_steps
from protocol.random_streams import random_stream

LARGEST = 2**56


@st.composite
def tables(draw):
    """Units of up to four clients, few distinct or of any size, and a guard."""
    clients, rb_total = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    values = draw(st.sampled_from([st.sampled_from([0, 1, 2, 3, 7]), st.integers(0, LARGEST)]))
    units = np.full((clients, rb_total, rb_total), OUT_OF_BAND, np.int64)
    for n, last in itertools.product(range(clients), range(rb_total)):
        units[n, last, : last + 1] = draw(st.lists(values, min_size=last + 1, max_size=last + 1))
    return units, draw(st.integers(0, 2))


def apart(spans, guard_rb):
    along = sorted(spans, key=lambda span: span.first)
    return all(b.first - a.last - 1 >= guard_rb for a, b in itertools.pairwise(along))


def allowed(units, guard_rb):
    """All sets of spans of different clients, a guard apart."""
    clients, rb_total, _ = units.shape
    choices = [
        [
            None,
            *(
                Span(n, first, last)
                for last in range(rb_total)
                for first in range(last + 1)
                if units[n, last, first] > 0
            ),
        ]
        for n in range(clients)
    ]

    def extend(n, spans):
        if n == clients:
            yield spans
            return
        for span in choices[n]:
            grown = spans if span is None else [*spans, span]
            if apart(grown, guard_rb):
                yield from extend(n + 1, grown)

    yield from extend(0, [])


def largest_sum(units, guard_rb):
    return max(total_units(units, spans) for spans in allowed(units, guard_rb))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tables())
def test_subsets_and_the_best_of_all_orders_reach_the_largest_sum(case):
    units, guard_rb = case
    best = largest_sum(units, guard_rb)
    exact = place_exactly(units, guard_rb)
    orders = [list(order) for order in itertools.permutations(range(len(units)))]
    in_order = [place_in_order(units, order, guard_rb) for order in orders]
    for spans in [exact, *in_order]:
        assert apart(spans, guard_rb)
        assert len({span.client for span in spans}) == len(spans)
    assert total_units(units, exact) == best
    assert max(total_units(units, spans) for spans in in_order) == best
    for order, spans in zip(orders, in_order, strict=True):
        assert total_units(units, spans) == sum_in_order(units, order, guard_rb)
        assert [n for n in order if n in {s.client for s in spans}] == [s.client for s in reversed(spans)]
        assert sum_in_order(units, improve_order(units, order, guard_rb), guard_rb) >= total_units(units, spans)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tables(), st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
def test_the_relaxation_bounds_every_sum_at_any_prices(case, shares):
    units, guard_rb = case
    prices = np.array(shares[: len(units)]) * np.maximum(units.max(axis=(1, 2)), 0)
    relaxation = Relaxation(units.astype(np.float64), prices, guard_rb)
    through = relaxation.through()
    for spans in allowed(units, guard_rb):
        total = total_units(units, spans)
        assert relaxation.bound >= total
        assert all(through[s.client, s.last, s.first] >= total for s in spans)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tables())
def test_the_prices_found_bound_what_their_order_reaches(case):
    units, guard_rb = case
    search = search_prices(units, guard_rb, None)
    best = largest_sum(units, guard_rb)
    assert sum_in_order(units, search.order, guard_rb) == search.reached <= best <= search.best.bound
    assert not search.closed or search.reached >= best * (1 - 1e-12)


def test_input_order_is_a_candidate_before_any_step(monkeypatch):
    monkeypatch.setattr(prices, "FIRST_STEPS", 0)
    units = np.full((2, 3, 3), OUT_OF_BAND, np.int64)
    units[0, 0, 0], units[1, 2, 2] = 5, 4
    assert prices.search_prices(units, 1, None).reached == 9


def test_no_client_gains_by_moving_alone_in_an_improved_order():
    rng = random_stream(1, "improved-order")
    order = list(range(6))
    for guard_rb in (0, 1, 2) * 4:
        units = rng.integers(1, 100, (6, 12, 12)) * np.arange(1, 13)[:, None]
        units[(slice(None), *np.triu_indices(12, 1))] = OUT_OF_BAND
        better = improve_order(units, order, guard_rb)
        reached = sum_in_order(units, better, guard_rb)
        assert reached > sum_in_order(units, order, guard_rb)
        for n, slot in itertools.product(order, range(6)):
            moved = [m for m in better if m != n]
            moved.insert(slot, n)
            assert sum_in_order(units, moved, guard_rb) <= reached


def test_the_steps_of_the_exact_search_are_counted():
    units = np.zeros((3, 4, 4), np.int64)
    units[:, [0, 3], [0, 2]] = 5
    assert subset_steps(units) == 6 * 4
