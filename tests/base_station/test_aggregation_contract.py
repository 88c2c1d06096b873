"""What every aggregation must do; a new one is added to AGGREGATORS and is tested here."""

import numpy as np
import pytest
from adapter_support import b_only, equal, random_base, random_change

from base_station.aggregation import AGGREGATORS, Contribution
from protocol.adapters import lora_modules, zeros_like
from protocol.errors import ProtocolError

BASE = random_base()
SCALING = 2.0


@pytest.fixture(params=sorted(AGGREGATORS))
def rule(request):
    return request.param


def contributions(rule, weights=(0.5, 0.3, 0.2), size=0.1):
    deltas = [random_change(BASE, seed, size) for seed in range(len(weights))]
    if rule in ("freeze-a", "alternate"):
        deltas = [b_only(delta) for delta in deltas]
    return [Contribution(f"c{i}", w, d) for i, (w, d) in enumerate(zip(weights, deltas, strict=True))]


def products(adapter):
    return {m.name: adapter[m.b_name].astype(np.float64) @ adapter[m.a_name] for m in lora_modules(adapter)}


def test_names_shapes_and_types_stay(rule):
    adapter = AGGREGATORS[rule]().aggregate(BASE, contributions(rule), SCALING).adapter
    assert {n: (v.shape, v.dtype) for n, v in adapter.items()} == {n: (v.shape, v.dtype) for n, v in BASE.items()}
    assert all(np.all(np.isfinite(v)) for v in adapter.values())


def test_without_any_ready_client_the_adapter_stays(rule):
    assert equal(AGGREGATORS[rule]().aggregate(BASE, [], SCALING).adapter, BASE)


def test_clients_that_delivered_nothing_leave_the_adapter_as_it_is(rule):
    silent = [Contribution(name, 0.5, zeros_like(BASE)) for name in ("a", "b")]
    result = AGGREGATORS[rule]().aggregate(BASE, silent, SCALING)
    assert equal(result.adapter, BASE)
    assert (result.covariance, result.covariance_relative, result.dropped_energy) == (0.0, 0.0, 0.0)


def test_a_single_client_is_taken_over_whole(rule):
    (only,) = contributions(rule, weights=(1.0,))
    result = AGGREGATORS[rule]().aggregate(BASE, [only], SCALING)
    trained = {n: BASE[n] + only.delta[n] for n in BASE}
    for name, product in products(trained).items():
        assert products(result.adapter)[name] == pytest.approx(product, abs=1e-5)
    assert result.covariance == pytest.approx(0.0, abs=1e-6)


def test_head_tensors_move_by_the_weighted_mean(rule):
    parts = contributions(rule)
    adapter = AGGREGATORS[rule]().aggregate(BASE, parts, SCALING).adapter
    for name in ("classifier.weight", "classifier.bias", "norm.weight"):
        mean = sum(c.weight * c.delta[name].astype(np.float64) for c in parts)
        assert adapter[name] == pytest.approx(BASE[name] + mean, abs=1e-6)


def test_a_silent_client_keeps_its_weight(rule):
    (loud,) = contributions(rule, weights=(1.0,))
    half = [Contribution("loud", 0.5, loud.delta), Contribution("silent", 0.5, zeros_like(BASE))]
    adapter = AGGREGATORS[rule]().aggregate(BASE, half, SCALING).adapter
    assert adapter["norm.weight"] == pytest.approx(BASE["norm.weight"] + 0.5 * loud.delta["norm.weight"], abs=1e-6)


def test_the_inputs_are_left_alone(rule):
    base = {n: v.copy() for n, v in BASE.items()}
    parts = contributions(rule)
    copies = [{n: v.copy() for n, v in c.delta.items()} for c in parts]
    adapter = AGGREGATORS[rule]().aggregate(base, parts, SCALING).adapter
    for value in adapter.values():
        value += 1.0
    assert equal(base, BASE)
    assert all(equal(c.delta, copy) for c, copy in zip(parts, copies, strict=True))


def test_two_runs_give_the_same_bits(rule):
    first, second = (AGGREGATORS[rule]().aggregate(BASE, contributions(rule), SCALING) for _ in range(2))
    assert equal(first.adapter, second.adapter)


@pytest.mark.parametrize("value", [np.nan, np.inf, -2e4])
def test_absurd_contributions_are_refused_with_the_client_named(rule, value):
    parts = contributions(rule)
    parts[1].delta["classifier.bias"][0] = value
    with pytest.raises(ProtocolError, match=r"client 'c1'.*classifier\.bias"):
        AGGREGATORS[rule]().aggregate(BASE, parts, SCALING)


def test_contributions_of_another_shape_are_refused_with_the_client_named(rule):
    parts = contributions(rule)
    del parts[2].delta["norm.weight"]
    with pytest.raises(ProtocolError, match=r"client 'c2'.*norm\.weight"):
        AGGREGATORS[rule]().aggregate(BASE, parts, SCALING)


def test_weights_that_do_not_sum_to_one_are_a_mistake_of_the_caller(rule):
    with pytest.raises(ValueError, match="sum to 0"):
        AGGREGATORS[rule]().aggregate(BASE, contributions(rule, weights=(0.5, 0.3)), SCALING)
