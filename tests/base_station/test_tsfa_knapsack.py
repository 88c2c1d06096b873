"""The knapsack over resource blocks and its bound, against an enumeration of all choices."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_station.tsfa import knapsack
from base_station.tsfa.dual import SILENT, Items, best_price
from base_station.tsfa.knapsack import equal_shares, solve_knapsack, total_units
from protocol.random_streams import random_stream

LARGEST = 2**56


@st.composite
def knapsacks(draw):
    """Up to four clients with up to four items; few distinct gains or of any size; sizes rise along a row."""
    clients, count, capacity = draw(st.integers(0, 4)), draw(st.integers(1, 4)), draw(st.integers(0, 9))
    values = draw(st.sampled_from([st.sampled_from([0, 1, 2, 3, 7]), st.integers(0, LARGEST)]))
    sizes, units = np.ones((clients, count), np.int64), np.zeros((clients, count), np.int64)
    for n in range(clients):
        sizes[n] = sorted(draw(st.lists(st.integers(1, 10), min_size=count, max_size=count)))
        units[n] = draw(st.lists(values, min_size=count, max_size=count))
    fits = (sizes <= capacity) & (units > 0)
    return Items(np.where(fits, sizes, 1), np.where(fits, units, 0), capacity)


def used(items, choice):
    rows = np.flatnonzero(choice != SILENT)
    return int(items.size[rows, choice[rows]].sum())


def allowed(items):
    """All choices that fit."""
    for picked in itertools.product([SILENT, *range(items.units.shape[1])], repeat=len(items.units)):
        choice = np.array(picked, np.int64)
        if used(items, choice) <= items.capacity:
            yield choice


@settings(max_examples=150, deadline=None, derandomize=True)
@given(knapsacks(), st.sampled_from([0, 40, 2**26]))
def test_the_answer_is_the_best_choice_or_its_limit_holds(items, most_steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knapsack, "MOST_STEPS", most_steps)
        found = solve_knapsack(items)
    best = max(total_units(items, choice) for choice in allowed(items))
    assert used(items, found.choice) <= items.capacity
    assert total_units(items, found.choice) == found.reached <= best <= found.limit
    assert found.reached == found.limit or most_steps < 2**26


@settings(max_examples=150, deadline=None, derandomize=True)
@given(knapsacks())
def test_no_choice_gains_more_than_the_bound_less_its_losses(items):
    dual = best_price(items)
    assert used(items, dual.choice) <= items.capacity
    for choice in allowed(items):
        rows = np.flatnonzero(choice != SILENT)
        lost = int(dual.silence[choice == SILENT].sum())
        taken = rows[items.units[rows, choice[rows]] > 0]
        lost += int(dual.loss[taken, choice[taken]].sum())
        assert len(taken) < len(rows) or total_units(items, choice) <= dual.bound - lost


def random_items(clients, count, capacity, draw):
    """Gains that rise and flatten with the size."""
    rng = random_stream(draw, "knapsack")
    rate = rng.uniform(0.1, 3.0, clients)[:, None]
    size = np.broadcast_to(np.arange(1, count + 1), (clients, count))
    units = (2**40 * rng.uniform(0.2, 1.0, clients)[:, None] * (1 - np.exp(-rate * size))).astype(np.int64)
    return Items(size, units, capacity)


def test_the_price_found_gives_the_least_bound():
    for draw in range(20):
        items = random_items(30, 12, 40, draw)
        dual = best_price(items)
        prices = np.linspace(0.0, 2.0, 401) * dual.price
        net = items.units - prices[:, None, None] * items.size
        bounds = np.maximum(net.max(axis=2), 0.0).sum(axis=1) + prices * items.capacity
        assert dual.price > 0
        assert bounds.min() >= dual.bound * (1 - 1e-9)
        assert dual.bound < bounds[0]


def test_equal_shares_are_a_candidate_where_the_best_is_not_searched_for(monkeypatch):
    monkeypatch.setattr(knapsack, "MOST_STEPS", 0)
    # The price says that both want three blocks; after the first of them there is no room for anything.
    found = solve_knapsack(Items(np.array([[2, 3]] * 2), np.array([[6, 10]] * 2), 4))
    assert (found.reached, found.choice.tolist()) == (12, [0, 0])


def test_equal_shares_split_the_band_among_those_who_gain_most():
    items = Items(np.array([[1, 3]] * 3), np.array([[5, 9], [4, 20], [1, 2]]), 6)
    assert equal_shares(items).tolist() == [1, 1, SILENT]


def test_where_the_least_sum_is_out_of_reach_only_the_limit_is_found():
    items = Items(np.array([[2]] * 3), np.array([[5], [4], [3]]), 5)
    found = solve_knapsack(items, least=100)
    assert found.limit == found.dual.bound < 100
    assert found.reached <= 9
