"""``exact`` against the dense mean of products and numpy's SVD."""

import numpy as np
import pytest
from adapter_support import random_base, random_change
from hypothesis import given
from hypothesis import strategies as st

from base_station.aggregation import AGGREGATORS, Contribution
from base_station.aggregation.exact import best_factors
from protocol.adapters import lora_modules, zeros_like
from protocol.errors import ProtocolError

WEIGHTS = (0.5, 0.3, 0.2)
S = 2.0


def dense_mean(module, base, parts):
    total = 0.0
    for c in parts:
        start, s = c.base or base, c.scaling or S
        b = start[module.b_name].astype(np.float64) + c.delta[module.b_name]
        total = total + c.weight * s * b @ (start[module.a_name].astype(np.float64) + c.delta[module.a_name])
    return total


def best_of_rank(matrix, rank):
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :rank] * values[:rank]) @ vt[:rank], float(np.sum(values[rank:] ** 2))


def assert_is_best(base, parts):
    result = AGGREGATORS["exact-drop"]().aggregate(base, parts, S)
    dropped = 0.0
    for m in lora_modules(base):
        best, lost = best_of_rank(dense_mean(m, base, parts), m.rank)
        product = S * result.adapter[m.b_name].astype(np.float64) @ result.adapter[m.a_name]
        assert product == pytest.approx(best, abs=2e-5 * max(1.0, float(np.abs(best).max())))
        dropped += lost
    assert result.dropped_energy == pytest.approx(dropped, rel=1e-4, abs=1e-9)
    return result


@given(st.integers(0, 10**6), st.sampled_from([1e-2, 0.3, 2.0]), st.sampled_from([0.0, 0.3]))
def test_it_is_the_best_approximation_of_the_true_mean(seed, size, b_scale):
    base = random_base(seed, b_scale=b_scale)
    parts = [Contribution(f"c{i}", w, random_change(base, seed + i, size)) for i, w in enumerate(WEIGHTS)]
    assert_is_best(base, parts)


def test_clients_of_other_ranks_and_alphas_are_merged():
    base, small, large = random_base(), random_base(3, rank=2), random_base(4, rank=5)
    parts = [
        Contribution("same", 0.5, random_change(base)),
        Contribution("small", 0.3, random_change(small), base=small, scaling=4.0),
        Contribution("large", 0.2, random_change(large), base=large, scaling=0.5),
    ]
    assert_is_best(base, parts)


def test_a_client_of_other_modules_is_refused():
    base = random_base()
    other = {n: v if "query.lora_A" not in n else v[:, :-1].copy() for n, v in random_base(3, rank=2).items()}
    with pytest.raises(ProtocolError, match="client 'odd'"):
        AGGREGATORS["exact-drop"]().aggregate(base, [Contribution("odd", 1.0, zeros_like(other), base=other)], S)


def test_factors_are_balanced():
    base = random_base()
    adapter = AGGREGATORS["exact-drop"]().aggregate(base, [Contribution("c", 1.0, random_change(base))], S).adapter
    for m in lora_modules(base):
        b, a = adapter[m.b_name].astype(np.float64), adapter[m.a_name].astype(np.float64)
        assert b.T @ b == pytest.approx(a @ a.T, abs=1e-4)


def test_factors_are_turned_towards_the_previous_ones():
    rng = np.random.default_rng(0)
    b0, a0 = rng.normal(size=(9, 3)), rng.normal(size=(3, 12))
    balanced_b, balanced_a, _ = best_factors(b0, a0, 1.0, b0, a0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    previous = balanced_b @ turn, turn.T @ balanced_a
    b, a, rest = best_factors(b0, a0, 1.0, *previous)
    assert b == pytest.approx(previous[0], abs=1e-9)
    assert a == pytest.approx(previous[1], abs=1e-9)
    assert rest[0].shape[1] == 0


def test_directions_the_mean_does_not_use_stay_trainable():
    base = random_base(b_scale=0.0)
    delta = zeros_like(base)
    delta["encoder.query.lora_B.weight"][:, 0] = 1.0
    adapter = AGGREGATORS["exact-drop"]().aggregate(base, [Contribution("c", 1.0, delta)], S).adapter
    values = np.linalg.svd(adapter["encoder.query.lora_A.weight"], compute_uv=False)
    assert values.min() > 0.1 * values.max()
    assert_is_best(base, [Contribution("c", 1.0, delta)])
    assert np.array_equal(adapter["encoder.value.lora_A.weight"], base["encoder.value.lora_A.weight"])


def test_a_mean_of_zero_is_held_by_factors_of_zero_product():
    base = random_base()
    cancels = {n: -v for n, v in base.items()}
    adapter = AGGREGATORS["exact-drop"]().aggregate(base, [Contribution("c", 1.0, cancels)], S).adapter
    for m in lora_modules(base):
        assert not np.any(adapter[m.b_name])
        assert np.linalg.matrix_rank(adapter[m.a_name]) == m.rank


def test_exact_beats_the_separate_mean():
    base = random_base()
    parts = [Contribution(f"c{i}", w, random_change(base, i, 0.5)) for i, w in enumerate(WEIGHTS)]
    gaps = {}
    for rule in ("separate", "exact-drop"):
        adapter = AGGREGATORS[rule]().aggregate(base, parts, S).adapter
        gaps[rule] = sum(
            np.linalg.norm(S * adapter[m.b_name].astype(np.float64) @ adapter[m.a_name] - dense_mean(m, base, parts))
            for m in lora_modules(base)
        )
    assert gaps["exact-drop"] < gaps["separate"]
