"""Energies and importances against dense matrices."""

import numpy as np
import pytest
from adapter_support import b_only, random_base, random_change
from hypothesis import given
from hypothesis import strategies as st

from edge_client.soft.importance import (
    component_energies,
    head_scale,
    product_norms,
    rounding_energies,
    taylor_gains,
    update_energies,
)
from protocol.adapters import lora_modules, zeros_like
from protocol.update.components import Components
from protocol.update.quantisation import dequantise, quantise


def dense_changes(base, delta, s):
    """s (b a - b0 a0) of every rank component, formed whole."""
    changes = []
    for m in lora_modules(base):
        b0, a0 = base[m.b_name].astype(np.float64), base[m.a_name].astype(np.float64)
        b, a = b0 + delta[m.b_name], a0 + delta[m.a_name]
        changes += [s * (np.outer(b[:, i], a[i]) - np.outer(b0[:, i], a0[i])) for i in range(m.rank)]
    return changes


@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1e-3, 0.1, 5.0]), st.sampled_from([0.0, 0.3]))
def test_update_energy_equals_the_dense_component_change(seed, size, b_scale):
    base = random_base(seed, b_scale=b_scale)
    delta = random_change(base, seed + 1, size)
    fast = component_energies(Components(base), base, delta, 2.0, kappa=1.0)
    dense = [np.sum(change**2) for change in dense_changes(base, delta, 2.0)]
    assert fast[: len(dense)] == pytest.approx(np.array(dense), rel=1e-5)


def test_update_energy_of_a_tiny_change_does_not_cancel():
    base = {n: v * np.float32(100) for n, v in random_base().items()}
    delta = random_change(base, size=1e-7)
    m = lora_modules(base)[0]
    db, da = delta[m.b_name][:, 0].astype(np.float64), delta[m.a_name][0].astype(np.float64)
    b0, a0 = base[m.b_name][:, 0].astype(np.float64), base[m.a_name][0].astype(np.float64)
    first_order = np.sum((np.outer(db, a0) + np.outer(b0, da)) ** 2)
    assert first_order < 1e-15 * np.sum(np.outer(b0, a0) ** 2)
    assert component_energies(Components(base), base, delta, 1.0, kappa=1.0)[0] == pytest.approx(first_order, rel=1e-6)


@given(st.integers(0, 10**6))
def test_taylor_gain_is_the_fall_of_a_linear_loss_component_by_component(seed):
    base = random_base(seed)
    components = Components(base)
    gradient, delta = random_change(base, seed + 1), random_change(base, seed + 2)
    gains = taylor_gains(components, gradient, delta)
    falls = [
        -sum(float(np.sum(g.astype(np.float64) * d)) for g, d in zip(*own, strict=True))
        for own in zip(
            (components.gather(gradient, i) for i in range(len(components))),
            (components.gather(delta, i) for i in range(len(components))),
            strict=True,
        )
    ]
    assert gains == pytest.approx(np.maximum(falls, 0.0), rel=1e-9, abs=1e-9)
    assert 0 < np.count_nonzero(gains) < len(components)


def test_product_norm_is_the_energy_of_the_trained_component():
    base = random_base()
    delta = random_change(base)
    fast = product_norms(Components(base), base, delta, 2.0, kappa=3.0)
    zero = {n: -v for n, v in base.items()}
    trained = {n: base[n] + delta[n] for n in base}
    dense = [np.sum(change**2) for change in dense_changes(trained, {n: zero[n] - delta[n] for n in base}, 2.0)]
    assert fast[: len(dense)] == pytest.approx(np.array(dense), rel=1e-4)


def test_keeping_the_largest_product_norms_of_orthogonal_factors_is_the_truncated_svd():
    rng = np.random.default_rng(3)
    q_b, q_a = np.linalg.qr(rng.normal(size=(9, 4)))[0], np.linalg.qr(rng.normal(size=(12, 4)))[0]
    b, a = (q_b * [0.5, 4.0, 1.0, 2.0]).astype(np.float32), q_a.T.astype(np.float32)
    adapter = {"m.lora_A.weight": a, "m.lora_B.weight": b}
    norms = product_norms(Components(adapter), adapter, zeros_like(adapter), 1.0, kappa=1.0)
    keep = np.argsort(norms)[-2:]
    u, values, vt = np.linalg.svd(b @ a)
    assert b[:, keep] @ a[keep] == pytest.approx((u[:, :2] * values[:2]) @ vt[:2], abs=1e-5)


def test_head_rows_count_kappa_times_their_square_bias_included():
    base = random_base()
    delta = random_change(base)
    components = Components(base)
    heads = component_energies(components, base, delta, 1.0, kappa=3.0)[components.lora_count :]
    rows = np.sum(delta["classifier.weight"] ** 2, axis=1) + delta["classifier.bias"] ** 2
    assert heads == pytest.approx(3.0 * np.append(rows, np.sum(delta["norm.weight"] ** 2)), rel=1e-5)


def test_kappa_makes_head_and_lora_weigh_the_same():
    base = random_base()
    energies = update_energies(base, random_change(base), 2.0)
    assert head_scale(energies.lora, energies.head) * energies.head == pytest.approx(energies.lora)
    assert head_scale(0.0, 1.0) == head_scale(1.0, 0.0) == 1.0


def test_additive_and_exact_energy_agree_for_orthogonal_components():
    b0, a0 = np.zeros((6, 3), np.float32), np.eye(3, 8, dtype=np.float32)
    base = {"m.lora_A.weight": a0, "m.lora_B.weight": b0}
    delta = {"m.lora_A.weight": np.zeros_like(a0), "m.lora_B.weight": np.ones_like(b0)}
    energies = update_energies(base, delta, 0.5)
    assert energies.lora == pytest.approx(energies.exact) == pytest.approx(0.25 * 18)
    overlapping = update_energies({**base, "m.lora_A.weight": np.ones_like(a0)}, delta, 0.5)
    assert overlapping.exact == pytest.approx(3 * overlapping.lora)


@pytest.mark.parametrize("frozen", ["none", "a"])
def test_expected_rounding_energy_equals_the_mean_over_many_draws(frozen):
    base = random_base()
    delta = random_change(base)
    delta = b_only(delta) if frozen == "a" else delta
    components, bits, draws = Components(base, frozen), 4, 3000
    expected = rounding_energies(components, base, delta, 2.0, 3.0, bits)
    goal = {n: base[n].astype(np.float64) + delta[n] for n in base}
    for index in (0, 5, components.lora_count + 1):
        parts, sizes = components.gather(delta, index), components.part_sizes(index)
        measured = []
        for seed in range(draws):
            got = dequantise(quantise(parts, bits, np.random.default_rng(seed)), sizes, bits)
            if index >= components.lora_count:
                measured.append(3.0 * np.sum((got[0] - parts[0]) ** 2))
                continue
            m, row = lora_modules(base)[index // 4], index % 4
            a = goal[m.a_name][row] if frozen == "a" else base[m.a_name][row] + got[0]
            b = base[m.b_name][:, row] + got[-1]
            measured.append(4.0 * np.sum((np.outer(b, a) - np.outer(goal[m.b_name][:, row], goal[m.a_name][row])) ** 2))
        assert np.mean(measured) == pytest.approx(expected[index], rel=0.08)


def test_expected_rounding_energy_counts_the_product_of_both_errors():
    """Spiky rows at 4 bits: the error of each factor is as large as the factor."""
    spiky = np.full(600, 0.4 / 7, np.float32)
    spiky[0] = 1.0
    base = {"m.lora_A.weight": np.zeros((1, 600), np.float32), "m.lora_B.weight": np.zeros((600, 1), np.float32)}
    delta = {"m.lora_A.weight": spiky[None, :], "m.lora_B.weight": spiky[:, None]}
    components = Components(base)
    measured = []
    for seed in range(200):
        parts = components.gather(delta, 0)
        a, b = dequantise(quantise(parts, 4, np.random.default_rng(seed)), components.part_sizes(0), 4)
        measured.append(np.sum((np.outer(b, a) - np.outer(spiky, spiky)) ** 2))
    assert rounding_energies(components, base, delta, 1.0, 1.0, 4)[0] == pytest.approx(np.mean(measured), rel=0.05)
