import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.link_tables import LinkTables
from radio.modem import McsTable, max_blocks
from radio.modem.layout import burst_symbols
from radio.numerology import DEFAULT_2MSPS, WIDE_4MSPS
from radio.placed_rates import PowerLimits, is_heard, placed_rates
from radio.rates import LinkRule, mutual_information

TARGET = 0.1
TABLES = LinkTables.load().of("convolutional")
RULE = LinkRule(TABLES, DEFAULT_2MSPS, TARGET, payload_share=0.99)
PLACES = [(start, count) for count in range(1, 29) for start in range(29 - count)]


def rates(reference_db, psd_cap_db=12.0, received_cap_db=math.inf, offset_db=1.0, barred=(), rule=RULE):
    return placed_rates(rule, reference_db, PowerLimits(psd_cap_db, received_cap_db), offset_db, barred)


def plain_rate(reference_db, start, count, psd_cap_db, received_cap_db, offset_db, barred):
    """Goodput and MCS of one grant by the definitions, one number at a time."""
    if any(start <= rb < start + count for rb in barred):
        return 0.0, None, 0.0
    inside = reference_db[start : start + count]
    mean_db = 10 * math.log10(sum(10 ** (v / 10) for v in inside) / count)
    density_db = min(10 * math.log10(28 / count), psd_cap_db, received_cap_db - mean_db)
    power_db = density_db - 10 * math.log10(28 / count)
    loaded = len(DEFAULT_2MSPS.loaded_subcarriers(start, count))
    sinr_db = [v + power_db + 10 * math.log10((28 * 8 - 3) / loaded) for v in inside]
    best = 0.0, None, power_db
    for mcs in TABLES.mcs_names:
        scheme = McsTable.load()[mcs]
        snr_db = np.arange(-25.0, 45.25, 0.25)
        information = np.maximum.accumulate(mutual_information(snr_db, scheme.bits_per_symbol))
        shift_db = 0.75 if mcs.endswith("-3/4") else 0.0
        mean = sum(np.interp(v + shift_db, snr_db, information) for v in sinr_db) / count
        saturated = mean >= information[-1] - 1e-6 * scheme.bits_per_symbol
        effective_db = min(sinr_db) if saturated else float(np.interp(mean, information, snr_db)) - shift_db
        lost = TABLES.block_error_rate(mcs, effective_db - offset_db)
        blocks = max_blocks(start, count, mcs, DEFAULT_2MSPS)
        air_s = burst_symbols(start, count, mcs, blocks, DEFAULT_2MSPS) * 280 / 2e6
        rate = 0.99 * 8 * 252 * blocks * (1 - lost) / air_s
        if lost <= TARGET and rate > best[0]:
            best = rate, mcs, power_db
    return best


@settings(max_examples=8)
@given(
    st.floats(-8.0, 25.0), st.floats(0.0, 8.0), st.integers(0, 2**32 - 1), st.sets(st.integers(0, 27), max_size=2),
    st.sampled_from([0.0, 6.0, 12.0]), st.sampled_from([math.inf, 20.0, 9.0]), st.floats(-3.0, 3.0),
)  # fmt: skip
def test_every_place_has_the_rate_of_the_plain_formula(
    mean_db, spread_db, seed, barred, psd_cap_db, received_cap_db, offset_db
):
    rng = np.random.default_rng(seed)
    reference_db = mean_db + spread_db * rng.standard_normal(28)
    found = rates(reference_db, psd_cap_db, received_cap_db, offset_db, barred)
    for start, count in [PLACES[i] for i in rng.integers(0, len(PLACES), 8)]:
        rate, mcs, power_db = plain_rate(
            reference_db.tolist(), start, count, psd_cap_db, received_cap_db, offset_db, barred
        )
        assert found.rate_bps[count - 1, start] == pytest.approx(rate, rel=1e-9)
        if rate:
            assert TABLES.mcs_names[found.mcs[count - 1, start]] == mcs
            assert found.power_db[count - 1, start] == pytest.approx(power_db)


@given(st.floats(-14.0, 40.0), st.floats(0.1, 10.0))
def test_a_better_channel_never_has_a_lower_rate(reference_db, gain_db):
    worse, better = rates(np.full(28, reference_db)), rates(np.full(28, reference_db + gain_db))
    assert np.all(better.rate_bps >= 0.999 * worse.rate_bps)


def test_a_client_is_fastest_where_its_channel_is_good():
    reference_db = np.full(28, 3.0)
    reference_db[20:26] = 12.0
    found = rates(reference_db)
    assert int(found.rate_bps[5].argmax()) == 20
    assert found.best_within(0, 28) is not None
    start, count = found.best_within(14, 14)
    assert start >= 14
    assert start + count <= 28
    assert found.rate_bps[count - 1, start] == max(
        found.rate_bps[k - 1, s] for s, k in PLACES if s >= 14 and s + k <= 28
    )


def test_a_barred_resource_block_costs_only_the_grants_that_contain_it():
    clear, barred = rates(np.full(28, 15.0)), rates(np.full(28, 15.0), barred=[9])
    for start, count in PLACES:
        contains = start <= 9 < start + count
        expected = 0.0 if contains else clear.rate_bps[count - 1, start]
        assert barred.rate_bps[count - 1, start] == expected
    assert barred.best_within(9, 1) is None


def test_a_client_that_is_not_heard_has_no_rate_anywhere():
    assert not rates(np.full(28, -60.0)).heard
    assert rates(np.full(28, 5.0)).heard


@given(
    st.floats(-25.0, 5.0), st.floats(0.0, 6.0), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 12.0]),
    st.sets(st.integers(0, 27), max_size=14),
)  # fmt: skip
def test_who_is_heard_is_told_without_all_rates(mean_db, spread_db, seed, psd_cap_db, barred):
    reference_db = mean_db + spread_db * np.random.default_rng(seed).standard_normal(28)
    heard = is_heard(RULE, reference_db, PowerLimits(psd_cap_db), 1.0, barred)
    assert heard == rates(reference_db, psd_cap_db, barred=barred).heard


def test_power_gathered_on_few_blocks_reaches_where_the_full_band_does_not():
    found = rates(np.full(28, -3.0))
    assert found.rate_bps[27, 0] == 0.0
    assert found.rate_bps[1, 3] > 0.0
    assert not rates(np.full(28, -3.0), psd_cap_db=0.0).heard


def test_received_power_per_resource_block_stays_under_its_cap_and_a_weak_client_keeps_its_own():
    reference_db = np.linspace(20.0, 30.0, 28)
    capped = rates(reference_db, received_cap_db=24.0)
    for start, count in PLACES:
        mean_db = 10 * np.log10(np.mean(10 ** (reference_db[start : start + count] / 10)))
        density_db = capped.power_db[count - 1, start] + 10 * np.log10(28 / count)
        assert mean_db + density_db <= 24.0 + 1e-9
        assert capped.power_db[count - 1, start] <= 0.0
    weak = rates(np.full(28, 4.0), received_cap_db=24.0)
    np.testing.assert_array_equal(weak.power_db, rates(np.full(28, 4.0)).power_db)


@given(st.floats(0.0, 25.0), st.integers(0, 2**32 - 1))
def test_ripple_within_resource_blocks_costs_rate_and_values_alike_cost_none(mean_db, seed):
    reference_db = mean_db + 3.0 * np.random.default_rng(seed).standard_normal(28)
    coarse = rates(reference_db)
    np.testing.assert_allclose(rates(np.repeat(reference_db, 4)).rate_bps, coarse.rate_bps)
    amplitude = np.array([1.6, 0.9, 1.1, 0.4])
    rippled = rates((reference_db[:, None] + 10 * np.log10(amplitude)).ravel())
    np.testing.assert_allclose(rippled.power_db, coarse.power_db)
    assert np.all(rippled.rate_bps <= 1.001 * coarse.rate_bps)


def test_the_rows_are_what_the_allocation_problem_wants():
    found = rates(np.full(28, 10.0))
    rows = found.rows()
    assert [len(row) for row in rows] == list(range(28, 0, -1))
    assert rows[4][7] == found.rate_bps[4, 7]


@pytest.mark.parametrize(("numerology", "limit_s"), [(DEFAULT_2MSPS, 0.025), (WIDE_4MSPS, 0.1)])
def test_the_rates_of_a_client_take_milliseconds(numerology, limit_s):
    rule = LinkRule(TABLES, numerology, TARGET)
    reference_db = np.linspace(0.0, 25.0, numerology.rb_total)
    rates(reference_db, rule=rule)
    began = time.process_time()
    for offset_db in range(5):
        rates(reference_db, offset_db=float(offset_db), rule=rule)
    assert (time.process_time() - began) / 5 < limit_s
