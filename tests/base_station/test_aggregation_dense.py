"""Every aggregation against the plain sum of dense matrices, whatever the clients delivered."""

import numpy as np
import pytest
from adapter_support import b_only, random_base, random_change, ranked
from hypothesis import given, settings
from hypothesis import strategies as st

from base_station.aggregation import AGGREGATORS, Contribution
from edge_client.soft.encoding import encode
from protocol.adapters import lora_modules
from protocol.errors import ProtocolError
from protocol.update.files import decode_file

S = 2.0
EXACT = ("exact-drop", "exact-fold")
FACTORWISE = ("separate", "freeze-a", "alternate")
weights_of = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5).map(lambda ws: [w / sum(ws) for w in ws])


def sparse_change(base, seed, frozen, compression="soft"):
    """What arrives of a change when a third of its bits fit."""
    delta = random_change(base, seed, 0.3)
    ranking = ranked(base, b_only(delta) if frozen == "a" else delta, frozen=frozen, compression=compression)
    budget = int(8 * ranking.file_bytes[-1]) // 3
    return decode_file(encode(ranking, budget, np.random.default_rng(seed)).file, base)


def dense_mean(base, parts):
    """``sum w s (B A + U V)`` of every module, formed whole."""
    means = {}
    for m in lora_modules(base):
        total = np.zeros((m.outputs, m.inputs))
        for c in parts:
            start, s = c.base or base, c.scaling or S
            b, a = (start[n].astype(np.float64) + c.delta[n] for n in (m.b_name, m.a_name))
            left, right = c.products.get(m.name, (np.zeros((m.outputs, 0)), np.zeros((0, m.inputs))))
            total += c.weight * s * (b @ a + left.astype(np.float64) @ right)
        means[m.name] = total
    return means


def dense_result(base, result):
    """``s B A`` of the next adapter and what was folded, formed whole."""
    for m in lora_modules(base):
        product = S * result.adapter[m.b_name].astype(np.float64) @ result.adapter[m.a_name]
        left, right = result.folded.get(m.name, (np.zeros((m.outputs, 0)), np.zeros((0, m.inputs))))
        yield m.name, product + left.astype(np.float64) @ right


def contributions(base, weights, seed, frozen="none", compression="soft"):
    updates = [sparse_change(base, seed + i, frozen, compression) for i in range(len(weights))]
    return [
        Contribution(f"c{i}", w, u.delta, products=u.products)
        for i, (w, u) in enumerate(zip(weights, updates, strict=True))
    ]


@settings(max_examples=25)
@given(weights_of, st.integers(0, 10**6), st.sampled_from(["soft", "magnitude-top-k", "svd"]))
def test_nothing_of_the_dense_mean_is_missing_after_folding(weights, seed, compression):
    base = random_base(seed)
    parts = contributions(base, weights, seed, compression=compression)
    means = dense_mean(base, parts)
    for name, product in dense_result(base, AGGREGATORS["exact-fold"]().aggregate(base, parts, S)):
        assert product == pytest.approx(means[name], abs=1e-5 * np.abs(means[name]).max())


@settings(max_examples=15)
@given(weights_of, st.integers(0, 10**6))
def test_one_frozen_factor_makes_the_mean_of_factors_the_dense_mean(weights, seed):
    base = random_base(seed)
    parts = contributions(base, weights, seed, frozen="a")
    means = dense_mean(base, parts)
    for rule in ("freeze-a", "alternate", "separate"):
        for name, product in dense_result(base, AGGREGATORS[rule]().aggregate(base, parts, S)):
            assert product == pytest.approx(means[name], abs=1e-5 * np.abs(means[name]).max())


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.3, 0.2), (0.98, 0.01, 0.01)])
def test_unequal_ranks_and_alphas_with_sparse_components(rule, weights):
    base, parts = random_base(), []
    for i, weight in enumerate(weights):
        own = random_base(i + 3, rank=(5, 2, 7)[i])
        parts.append(
            Contribution(f"c{i}", weight, sparse_change(own, i, "none").delta, base=own, scaling=(0.5, 4.0, 1.0)[i])
        )
    result, means, lost = AGGREGATORS[rule]().aggregate(base, parts, S), dense_mean(base, parts), 0.0
    for name, product in dense_result(base, result):
        u, values, vt = np.linalg.svd(means[name], full_matrices=False)
        best = means[name] if rule == "exact-fold" else (u[:, :4] * values[:4]) @ vt[:4]
        assert product == pytest.approx(best, abs=2e-5 * values[0])
        lost += np.sum(values[4:] ** 2)
    assert result.dropped_energy == pytest.approx(0.0 if rule == "exact-fold" else lost, rel=1e-4, abs=1e-9)
    assert bool(result.folded) == (rule == "exact-fold" and lost > 1e-9)


@pytest.mark.parametrize("rule", [*EXACT, *FACTORWISE])
@given(order=st.permutations(range(4)))
@settings(max_examples=6)
def test_the_order_of_the_clients_does_not_matter(rule, order):
    base = random_base()
    parts = contributions(base, (0.4, 0.3, 0.2, 0.1), 1, frozen="none" if rule in (*EXACT, "separate") else "a")
    straight, permuted = (
        dict(dense_result(base, AGGREGATORS[rule]().aggregate(base, these, S)))
        for these in (parts, [parts[i] for i in order])
    )
    for name, product in straight.items():
        assert permuted[name] == pytest.approx(product, abs=1e-5)


@pytest.mark.parametrize("rule", FACTORWISE)
def test_products_need_an_exact_aggregation(rule):
    base = random_base()
    (part,) = contributions(base, (1.0,), 1, compression="svd")
    with pytest.raises(ProtocolError, match=r"client 'c0'.*exact aggregation"):
        AGGREGATORS[rule]().aggregate(base, [part], S)
