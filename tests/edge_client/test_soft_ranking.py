"""The ranking, its prefixes and the error curve."""

import numpy as np
import pytest
from adapter_support import b_only, encoded_file, random_base, random_change, ranked
from hypothesis import given
from hypothesis import strategies as st

from edge_client.soft.encoding import encode
from edge_client.soft.importance import component_energies, product_norms, taylor_gains
from edge_client.soft.ranking import error_curve
from protocol.adapters import zeros_like
from protocol.errors import DataError
from protocol.update.components import Components
from protocol.update.files import decode_file
from protocol.update.quantisation import encoded_bytes

BASE = random_base()
DELTA = random_change(BASE)
GRADIENT = random_change(BASE, 77)
settings = st.fixed_dictionaries(
    {
        "quant_bits": st.sampled_from([4, 8, 16, 32]),
        "importance": st.sampled_from(["update-energy", "product-norm", "taylor"]),
        "annotated": st.booleans(),
    }
)
changes = st.builds(random_change, st.just(BASE), st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 2.0]))


@pytest.mark.parametrize(
    ("importance", "measure", "kappa"),
    [("update-energy", component_energies, 30.0), ("product-norm", product_norms, 300.0)],
)
def test_components_are_ranked_by_importance_per_bit(importance, measure, kappa):
    ranking = ranked(BASE, DELTA, importance=importance, kappa=kappa)
    components = Components(BASE)
    sizes = np.array([1 + encoded_bytes(components.part_sizes(i), 8) for i in range(len(components))])
    values = measure(components, BASE, DELTA, 2.0, kappa)
    per_bit = values / sizes
    assert np.any(np.argsort(-values) != np.argsort(-per_bit))
    assert np.all(np.diff(per_bit[ranking.order]) <= 0)
    assert sorted(ranking.order) == list(range(len(components)))


def test_by_taylor_the_energy_is_dealt_in_proportion_to_the_gains_and_the_curve_is_convex():
    ranking = ranked(BASE, DELTA, importance="taylor", quant_bits=32)
    components = Components(BASE)
    gains = taylor_gains(components, GRADIENT, DELTA)
    energies = component_energies(components, BASE, DELTA, 2.0, 1.0)
    assert ranking.total_energy == pytest.approx(energies.sum())
    assert ranking.gains == pytest.approx(gains[ranking.order] * energies.sum() / gains.sum())
    bits, unsent = (np.array(column) for column in zip(*error_curve(ranking)[1:], strict=True))
    slopes = np.diff(unsent) / np.diff(bits)
    assert np.all(np.diff(slopes) >= -1e-12)
    assert len(bits) == np.count_nonzero(gains)


def test_by_taylor_a_gradient_of_zero_falls_back_on_energies_and_none_is_refused():
    flat = ranked(BASE, DELTA, importance="taylor", gradient=zeros_like(BASE))
    assert np.array_equal(flat.order, ranked(BASE, DELTA).order)
    with pytest.raises(ValueError, match="needs the gradient"):
        ranked(BASE, DELTA, importance="taylor", gradient=None)


@given(changes, settings, st.integers(2, 64))
def test_the_curve_starts_at_zero_bits_rises_in_bits_and_falls_in_energy(delta, options, points):
    ranking = ranked(BASE, delta, **options)
    curve = error_curve(ranking, points)
    bits, energy = zip(*curve, strict=True)
    assert 2 <= len(curve) <= points
    assert curve[0] == (0, ranking.total_energy)
    assert all(np.diff(bits) > 0)
    assert all(np.diff(energy) < 0)
    assert energy[-1] == ranking.unsent.min() >= 0.0


@given(changes, settings, st.integers(2, 64))
def test_a_budget_from_the_curve_sends_exactly_that_point(delta, options, points):
    ranking = ranked(BASE, delta, **options)
    for bits, energy in error_curve(ranking, points)[1:]:
        update = encode(ranking, bits, np.random.default_rng(0))
        assert (update.payload_bits, update.unsent_energy) == (bits, energy)


def test_the_curve_equals_the_measured_unsent_energy_at_32_bits():
    ranking = ranked(BASE, DELTA, quant_bits=32, kappa=2.5)
    for bits, energy in error_curve(ranking)[1:]:
        got = decode_file(encode(ranking, bits, np.random.default_rng(0)).file, BASE).delta
        assert energy == pytest.approx(unsent(got, 2.5), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bits", [4, 8])
def test_the_curve_equals_the_mean_measured_energy_of_quantised_updates(bits):
    ranking = ranked(BASE, DELTA, quant_bits=bits, kappa=2.5)
    budget, energy = error_curve(ranking)[-1]
    draws = [encode(ranking, budget, np.random.default_rng(seed)).file for seed in range(300)]
    measured = np.mean([unsent(decode_file(file, BASE).delta, 2.5) for file in draws])
    assert measured == pytest.approx(energy, rel=0.05)


def unsent(got, kappa):
    """Energy between base + delta and base + got, component by component, dense."""
    there = {n: BASE[n].astype(np.float64) + got[n] for n in BASE}
    total = 0.0
    for name in ("encoder.query", "encoder.value"):
        a_name, b_name = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
        b, a = BASE[b_name].astype(np.float64) + DELTA[b_name], BASE[a_name].astype(np.float64) + DELTA[a_name]
        for i in range(4):
            gap = np.outer(b[:, i], a[i]) - np.outer(there[b_name][:, i], there[a_name][i])
            total += 4.0 * np.sum(gap**2)
    heads = ("classifier.weight", "classifier.bias", "norm.weight")
    return total + kappa * sum(np.sum((DELTA[n].astype(np.float64) - got[n]) ** 2) for n in heads)


@pytest.mark.parametrize("importance", ["update-energy", "product-norm"])
def test_prefixes_of_exactly_orthogonal_components_are_the_truncated_svds(importance):
    """Within one module; the singular triplets of the ``svd`` scheme then leave the same energies."""
    rng = np.random.default_rng(3)
    q_b, q_a = np.linalg.qr(rng.normal(size=(30, 6)))[0], np.linalg.qr(rng.normal(size=(40, 6)))[0]
    base = {"m.lora_A.weight": q_a.T.astype(np.float32), "m.lora_B.weight": np.zeros((30, 6), np.float32)}
    strengths = np.array([0.5, 4.0, 1.0, 2.0, 0.1, 3.0])
    delta = {**zeros_like(base), "m.lora_B.weight": (q_b * strengths).astype(np.float32)}
    ranking = ranked(base, delta, importance=importance, quant_bits=32, frozen="a")
    u, values, vt = np.linalg.svd(delta["m.lora_B.weight"].astype(np.float64) @ base["m.lora_A.weight"])
    for count in range(7):
        file = encode(ranking, 8 * int(ranking.file_bytes[count]), np.random.default_rng(0)).file
        product = decode_file(file, base).delta["m.lora_B.weight"] @ base["m.lora_A.weight"]
        assert product == pytest.approx((u[:, :count] * values[:count]) @ vt[:count], abs=1e-5)
    triplets = ranked(base, delta, compression="svd", quant_bits=32, frozen="a")
    assert triplets.unsent == pytest.approx(ranking.unsent, abs=1e-4)


@given(st.integers(0, 40_000), settings)
def test_what_is_sent_is_a_prefix_of_the_ranking(budget, options):
    ranking = ranked(BASE, DELTA, **options)
    count = ranking.best_prefix(budget)
    assert count == 0 or 8 * ranking.file_bytes[count] <= budget
    assert all(ranking.unsent[count] <= ranking.unsent[j] for j in range(count))
    if count < len(ranking.order) and options["quant_bits"] >= 16:
        assert 8 * ranking.file_bytes[count + 1] > budget


def test_a_coarse_component_that_would_do_harm_is_not_sent():
    base = {"m.lora_A.weight": np.ones((2, 600), np.float32), "m.lora_B.weight": np.zeros((600, 2), np.float32)}
    delta = zeros_like(base)
    delta["m.lora_B.weight"][:, 0] = 1.0
    spiky = np.full(600, 0.25 / 7, np.float32)
    spiky[0] = 1.0
    delta["m.lora_B.weight"][:, 1] = spiky / 10
    ranking = ranked(base, delta, quant_bits=4)
    assert ranking.gains[1] < 0.0
    assert ranking.best_prefix(10**9) == 1
    assert error_curve(ranking)[-1][1] == ranking.unsent[1] < ranking.unsent[2]
    assert ranked(base, delta, quant_bits=8).best_prefix(10**9) == 2


def test_unchanged_components_are_never_sent():
    delta = zeros_like(BASE)
    delta["classifier.bias"][2] = 1.0
    ranking = ranked(BASE, delta)
    assert len(ranking.order) == 1
    assert error_curve(ranked(BASE, zeros_like(BASE))) == [(0, 0.0)]


def test_a_change_of_a_alone_is_sent_though_its_product_is_zero():
    base = random_base(b_scale=0.0)
    delta = zeros_like(base)
    delta["encoder.query.lora_A.weight"][1] = 0.5
    got = decode_file(encoded_file(base, delta, quant_bits=32), base).delta
    assert np.array_equal(got["encoder.query.lora_A.weight"], delta["encoder.query.lora_A.weight"])


def test_frozen_a_refuses_a_change_of_a():
    with pytest.raises(ValueError, match="factor a is frozen"):
        ranked(BASE, DELTA, frozen="a")
    assert ranked(BASE, b_only(DELTA), frozen="a").file_bytes[-1] < ranked(BASE, b_only(DELTA)).file_bytes[-1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2e4])
def test_a_diverged_training_is_refused_with_what_to_do(bad):
    delta = {n: v.copy() for n, v in DELTA.items()}
    delta["classifier.bias"][0] = bad
    with pytest.raises(DataError, match=r"classifier\.bias.*lower training\.learning_rate"):
        ranked(BASE, delta)
