"""The residual of an exact aggregation: a product of low rank, put into factors that span other directions."""

import numpy as np
import pytest
from adapter_support import random_base, random_change, ranked
from hypothesis import given
from hypothesis import strategies as st

from base_station.aggregation import AGGREGATORS, Contribution
from edge_client.soft.encoding import encode
from edge_client.soft.turned_residual import into_factors, turned_residual
from protocol.adapters import lora_modules, zeros_like
from protocol.update.files import decode_file
from protocol.update.records import DecodedUpdate

S = 2.0


def changes(base, delta, products=None):
    """``(B A + U V) - B0 A0`` of every module, dense."""
    result = {}
    for m in lora_modules(base):
        b0, a0 = base[m.b_name].astype(np.float64), base[m.a_name].astype(np.float64)
        result[m.name] = (b0 + delta[m.b_name]) @ (a0 + delta[m.a_name]) - b0 @ a0
        if products and m.name in products:
            result[m.name] += products[m.name][0].astype(np.float64) @ products[m.name][1]
    return result


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 1.0]))
def test_what_is_put_into_factors_and_what_is_lost_are_the_whole(seed, size):
    rng = np.random.default_rng(seed)
    left, right = size * rng.normal(size=(9, 6)), rng.normal(size=(6, 12))
    b0, a0 = rng.normal(size=(9, 4)), rng.normal(size=(4, 12))
    db, da, lost = into_factors(left, right, b0, a0)
    gap = left @ right - ((b0 + db) @ (a0 + da) - b0 @ a0)
    assert lost == pytest.approx(np.sum(gap**2), rel=1e-8)
    outside = left @ right @ (np.eye(12) - np.linalg.pinv(a0) @ a0)
    beyond = (np.eye(9) - (b0 + db) @ np.linalg.pinv(b0 + db)) @ outside
    assert lost == pytest.approx(np.sum(beyond**2), rel=1e-6)


def test_a_product_the_factors_span_loses_nothing():
    rng = np.random.default_rng(1)
    b0, a0 = rng.normal(size=(9, 4)), rng.normal(size=(4, 12))
    for left, right in ((rng.normal(size=(9, 4)), a0), (b0, rng.normal(size=(4, 12)))):
        db, da, lost = into_factors(left, right, b0, a0)
        assert (b0 + db) @ (a0 + da) - b0 @ a0 == pytest.approx(left @ right, abs=1e-9)
        assert lost < 1e-18


@pytest.mark.parametrize("scheme", ["soft", "magnitude-top-k", "svd"])
def test_the_residual_is_wanted_less_arrived_in_the_next_round_s_factors(scheme):
    start = random_base()
    delta = random_change(start)
    ranking = ranked(start, delta, compression=scheme)
    file = encode(ranking, int(4 * ranking.file_bytes[-1]), np.random.default_rng(0)).file
    arrived = decode_file(file, start)
    parts = [Contribution("c", 1.0, arrived.delta, products=arrived.products)]
    base = AGGREGATORS["exact-drop"]().aggregate(start, parts, S).adapter
    residual, lost = turned_residual(start, delta, arrived, base, S)
    wanted, came, kept = changes(start, delta), changes(start, arrived.delta, arrived.products), changes(base, residual)
    gap = sum(S**2 * np.sum((wanted[n] - came[n] - kept[n]) ** 2) for n in wanted)
    whole = sum(S**2 * np.sum((wanted[n] - came[n]) ** 2) for n in wanted)
    assert lost == pytest.approx(gap, rel=1e-3, abs=1e-6 * whole)
    assert lost < 0.6 * whole
    for name in ("classifier.weight", "classifier.bias", "norm.weight"):
        assert np.array_equal(residual[name], delta[name] - arrived.delta[name])


def test_factors_of_zero_take_what_their_partner_spans():
    base, delta = random_base(b_scale=0.0), random_change(random_base())
    residual, _ = turned_residual(base, delta, DecodedUpdate(zeros_like(base), (), 0), base, S)
    assert all(np.all(np.isfinite(v)) for v in residual.values())
    assert all(np.any(residual[m.b_name]) for m in lora_modules(base))


def test_everything_delivered_leaves_nothing():
    base, delta = random_base(), random_change(random_base())
    residual, lost = turned_residual(base, delta, DecodedUpdate(delta, (), 0), base, S)
    assert lost == 0.0
    assert not any(np.any(v) for v in residual.values())
