"""Encoding under a budget, and the residual that stays."""

import numpy as np
import pytest
from adapter_support import equal, random_base, random_change, ranked
from hypothesis import given
from hypothesis import strategies as st

from edge_client.soft.encoding import encode, local_update, new_residual
from protocol.adapters import add
from protocol.errors import BudgetError
from protocol.update.components import Components
from protocol.update.files import HEADER_BYTES, decode_file, record_offsets
from protocol.update.fragments import cut_fragments, join_fragments

BASE = random_base()
DELTA = random_change(BASE)


@given(st.integers(8 * HEADER_BYTES, 50_000), st.sampled_from([4, 8, 16, 32]))
def test_a_file_never_exceeds_its_budget_and_says_what_it_holds(budget, bits):
    update = encode(ranked(BASE, DELTA, quant_bits=bits), budget, np.random.default_rng(0))
    decoded = decode_file(update.file, BASE)
    assert len(update.file) <= budget // 8
    assert update.payload_bits == 8 * len(update.file)
    assert len(decoded.components) == update.components_sent <= update.components_total == len(Components(BASE))
    assert decoded.lora_values == update.lora_values_sent <= update.lora_values_total


def test_a_budget_of_zero_is_silence_and_one_below_the_header_is_refused():
    ranking = ranked(BASE, DELTA)
    silent = encode(ranking, 0, np.random.default_rng(0))
    assert (silent.file, silent.components_sent, silent.unsent_energy) == (b"", 0, ranking.total_energy)
    with pytest.raises(BudgetError, match=f"the minimum is {8 * HEADER_BYTES}"):
        encode(ranking, 8 * HEADER_BYTES - 1, np.random.default_rng(0))


def test_a_larger_budget_repeats_the_codes_of_a_smaller_one():
    ranking = ranked(BASE, DELTA)
    small = encode(ranking, 1500, np.random.default_rng(7)).file
    large = encode(ranking, 3000, np.random.default_rng(7)).file
    assert len(record_offsets(small, BASE)) > 3
    assert large[HEADER_BYTES:].startswith(small[HEADER_BYTES:])


def test_the_same_seed_encodes_the_same_file():
    files = [encode(ranked(BASE, DELTA), 3000, np.random.default_rng(seed)).file for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]


def test_unsent_components_stay_in_the_residual():
    ranking = ranked(BASE, DELTA)
    update = encode(ranking, 1500, np.random.default_rng(0))
    residual = new_residual(DELTA, decode_file(update.file, BASE).delta)
    components = Components(BASE)
    for index in ranking.order[update.components_sent :]:
        for kept, whole in zip(components.gather(residual, index), components.gather(DELTA, index), strict=True):
            assert np.array_equal(kept, whole)


@given(st.sets(st.integers(0, 60)), st.sampled_from([4, 8, 32]))
def test_the_residual_is_exactly_what_the_delivered_fragments_lack(lost, bits):
    update = encode(ranked(BASE, DELTA, quant_bits=bits), 10**6, np.random.default_rng(0))
    fragments = {i: f for i, f in enumerate(cut_fragments(update.file, 40, BASE)) if i not in lost}
    committed = join_fragments(
        fragments, payload_bytes=len(update.file), fragment_bytes=40, base=BASE, quant_bits=bits
    ).delta
    residual = new_residual(DELTA, committed)
    for name in DELTA:
        assert np.max(np.abs(residual[name].astype(np.float64) + committed[name] - DELTA[name])) < 1e-7


def test_the_next_update_carries_the_residual():
    residual = random_change(BASE, seed=8)
    trained = add(BASE, DELTA)
    plain, carried = local_update(BASE, trained), local_update(BASE, trained, residual)
    assert equal(carried, add(plain, residual))
    assert all(np.allclose(plain[n], DELTA[n], atol=1e-6) for n in DELTA)
