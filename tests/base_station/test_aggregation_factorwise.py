"""``separate`` and ``freeze-a``: means of factors, their covariance, and conservation under loss."""

import numpy as np
import pytest
from adapter_support import b_only, random_base, random_change
from hypothesis import given
from hypothesis import strategies as st

from base_station.aggregation import AGGREGATORS, Contribution
from protocol.adapters import lora_modules, zeros_like
from protocol.errors import ProtocolError

WEIGHTS = (0.5, 0.3, 0.2)


def parts_of(base, seed, size, change=random_change):
    return [Contribution(f"c{i}", w, change(base, seed + i, size)) for i, w in enumerate(WEIGHTS)]


def dense_bias(base, parts, s):
    """(sum of |s C_m|_F, sum of |s mean change|_F), formed whole."""
    bias = change = 0.0
    for m in lora_modules(base):
        b0, a0 = base[m.b_name].astype(np.float64), base[m.a_name].astype(np.float64)
        db, da = ([c.delta[n].astype(np.float64) for c in parts] for n in (m.b_name, m.a_name))
        mean_b, mean_a = (sum(w * d for w, d in zip(WEIGHTS, ds, strict=True)) for ds in (db, da))
        cross = sum(w * b @ a for w, b, a in zip(WEIGHTS, db, da, strict=True))
        bias += s * np.linalg.norm(cross - mean_b @ mean_a)
        true = sum(w * (b0 + b) @ (a0 + a) for w, b, a in zip(WEIGHTS, db, da, strict=True)) - b0 @ a0
        change += s * np.linalg.norm(true)
    return bias, change


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 3.0]), st.sampled_from([0.0, 0.3]))
def test_the_covariance_equals_the_dense_one(seed, size, b_scale):
    base = random_base(seed, b_scale=b_scale)
    parts = parts_of(base, seed, size)
    result = AGGREGATORS["separate"]().aggregate(base, parts, 2.0)
    bias, change = dense_bias(base, parts, 2.0)
    assert result.covariance == pytest.approx(bias, rel=1e-5)
    assert result.covariance_relative == pytest.approx(bias / change, rel=1e-4)


def test_the_covariance_is_the_distance_from_the_true_mean_product():
    base = random_base()
    parts = parts_of(base, 1, 0.5)
    result = AGGREGATORS["separate"]().aggregate(base, parts, 2.0)
    gap = 0.0
    for m in lora_modules(base):
        true = sum(
            c.weight * (base[m.b_name].astype(np.float64) + c.delta[m.b_name]) @ (base[m.a_name] + c.delta[m.a_name])
            for c in parts
        )
        gap += 2.0 * np.linalg.norm(true - result.adapter[m.b_name].astype(np.float64) @ result.adapter[m.a_name])
    assert result.covariance == pytest.approx(gap, rel=1e-4)


def test_equal_contributions_have_no_covariance():
    base = random_base()
    same = [Contribution(f"c{i}", w, random_change(base)) for i, w in enumerate(WEIGHTS)]
    assert AGGREGATORS["separate"]().aggregate(base, same, 2.0).covariance < 1e-6


def test_frozen_a_has_no_covariance_and_keeps_a():
    base = random_base()
    parts = parts_of(base, 1, 0.5, change=lambda *a: b_only(random_change(*a)))
    result = AGGREGATORS["freeze-a"]().aggregate(base, parts, 2.0)
    assert result.covariance == 0.0
    assert all(np.array_equal(result.adapter[m.a_name], base[m.a_name]) for m in lora_modules(base))


def test_frozen_a_refuses_a_client_that_changed_a():
    base = random_base()
    with pytest.raises(ProtocolError, match=r"client 'c0'.*lora_A\.weight', which is frozen"):
        AGGREGATORS["freeze-a"]().aggregate(base, parts_of(base, 1, 0.5), 2.0)


def test_alternating_factors_are_refused_in_one_round():
    base = random_base()
    parts = parts_of(base, 1, 0.5, change=lambda *a: b_only(random_change(*a)))
    assert AGGREGATORS["alternate"]().aggregate(base, parts, 2.0).covariance == 0.0
    a_only = {n: v - b_only(parts[1].delta)[n] if "lora" in n else v for n, v in random_change(base, 7).items()}
    parts[1] = Contribution("c1", WEIGHTS[1], a_only)
    with pytest.raises(ProtocolError, match=r"client 'c1'.*in turns"):
        AGGREGATORS["alternate"]().aggregate(base, parts, 2.0)


@pytest.mark.parametrize("rule", ["separate", "freeze-a", "alternate"])
def test_another_rank_or_alpha_needs_exact(rule):
    base, other = random_base(), random_base(rank=2)
    odd = Contribution("odd", 1.0, zeros_like(other), base=other)
    with pytest.raises(ProtocolError, match=r"client 'odd'.*exact"):
        AGGREGATORS[rule]().aggregate(base, [odd], 2.0)
