"""The compiled loops of placement against the plain formulas."""

import numpy as np
import pytest

from base_station.tsfa import kernels
from base_station.tsfa.knapsack import OUT_OF_BAND
from protocol.random_streams import random_stream

CASES = [(seed, guard_rb) for seed in range(8) for guard_rb in (0, 1, 3)]
pytestmark = pytest.mark.parametrize(("seed", "guard_rb"), CASES)


def table(seed):
    """Units of some clients in a narrow band; many are 0, as most are once a bound has pruned them."""
    rng = random_stream(seed, "tsfa kernels")
    clients, rb_total = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    units = rng.integers(0, 2**40, (clients, rb_total, rb_total)) * (rng.random((clients, rb_total, rb_total)) < 0.4)
    none = np.arange(rb_total) > np.arange(rb_total)[:, None]
    return np.where(none, OUT_OF_BAND, units), rng


def spans(rb_total):
    return [(first, last) for last in range(rb_total) for first in range(last + 1)]


def plain_before(units, guard_rb):
    """At [i, p] the most of the first i clients in the first p positions, guard behind the last span included."""
    sums = np.zeros((len(units) + 1, units.shape[1] + guard_rb + 1), np.int64)
    for i, own in enumerate(units):
        for p in range(sums.shape[1]):
            ends = [sums[i, s] + own[e, s] for s, e in spans(len(own)) if e + 1 + guard_rb <= p]
            sums[i + 1, p] = max([sums[i, p], *ends])
    return sums


def plain_behind(units, guard_rb):
    """At [i, p] the most of clients i, ... whose spans begin at p or later."""
    sums = np.zeros((len(units) + 1, units.shape[1] + guard_rb + 1), np.int64)
    for i in range(len(units) - 1, -1, -1):
        for p in range(sums.shape[1]):
            begun = [units[i, e, s] + sums[i + 1, e + 1 + guard_rb] for s, e in spans(units.shape[1]) if s >= p]
            sums[i, p] = max([sums[i + 1, p], *begun])
    return sums


def test_sums_along_an_order_are_those_of_the_definition_wherever_they_are_taken_up(seed, guard_rb):
    units, rng = table(seed)
    order = rng.permutation(len(units))
    for expected, extend, begun in (
        (plain_before(units[order], guard_rb), kernels.extend_sums_before, lambda known: slice(known + 1)),
        (plain_behind(units[order], guard_rb), kernels.extend_sums_behind, lambda known: slice(known, None)),
    ):
        for known in range(len(order) + 1):
            sums = np.full_like(expected, -1)
            sums[begun(known)] = expected[begun(known)]
            extend(units, order, guard_rb, known, sums)
            np.testing.assert_array_equal(sums, expected)


def test_the_best_slot_is_the_first_of_largest_sum(seed, guard_rb):
    units, _ = table(seed)
    own, others = units[0], units[1:]
    before, behind = plain_before(others, guard_rb), plain_behind(others, guard_rb)
    totals = [
        max(before[i, s] + own[e, s] + behind[i, e + 1 + guard_rb] for s, e in spans(len(own)))
        for i in range(len(units))
    ]
    assert kernels.best_slot(own, guard_rb, before, behind) == (totals.index(max(totals)), max(totals))


def test_with_prices_everybody_may_be_granted_again_and_again(seed, guard_rb):
    units, rng = table(seed)
    prices = rng.uniform(0.0, 2.0**40, len(units))
    best = (units.astype(float) - prices[:, None, None]).max(axis=0)
    before, behind = np.zeros((2, len(best) + guard_rb + 1))
    for p in range(1, len(before)):
        before[p] = max(
            [before[p - 1], *(before[s] + best[e, s] for s, e in spans(len(best)) if e + 1 + guard_rb == p)]
        )
    for p in range(len(best) - 1, -1, -1):
        behind[p] = max(
            [behind[p + 1], *(best[e, s] + behind[e + 1 + guard_rb] for s, e in spans(len(best)) if s == p)]
        )
    np.testing.assert_array_equal(kernels.best_gains(units.astype(float), prices), best)
    np.testing.assert_array_equal(kernels.span_sums_before(best, guard_rb), before)
    np.testing.assert_array_equal(kernels.span_sums_behind(best, guard_rb), behind)


def test_the_spans_that_reach_the_sum_are_counted_for_the_client_that_gains_most(seed, guard_rb):
    units, rng = table(seed)
    prices = rng.uniform(0.0, 2.0**38, len(units))
    gain = units.astype(float) - prices[:, None, None]
    best = gain.max(axis=0)
    before = kernels.span_sums_before(best, guard_rb)
    expected, position = [0] * len(units), len(before) - 1
    while before[position] > 0.0:
        if before[position] > before[position - 1]:
            last = position - guard_rb - 1
            position = int((before[: last + 1] + best[last, : last + 1]).argmax())
            expected[gain[:, last, position].argmax()] += 1
        else:
            position -= 1
    uses = kernels.span_uses(units.astype(float), prices, best, before, guard_rb)
    assert uses.tolist() == expected
