import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.bursts import DataBurst
from radio.link_tables import LinkTables
from radio.modem import McsTable, burst_air_samples, max_blocks
from radio.modem.constellations import Constellation
from radio.numerology import DEFAULT_2MSPS
from radio.rates import (
    choose_mcs,
    effective_snr_db,
    goodput_bps,
    mutual_information,
    power_backoff_db,
    rate_table,
)

TARGET = 0.05
MARGIN_DB = 1.0
CONVOLUTIONAL = [scheme.name for scheme in McsTable.load().of("convolutional")]
names = st.sampled_from(CONVOLUTIONAL)
sinr_lists = st.lists(st.floats(-10.0, 35.0), min_size=1, max_size=28)


def table(reference_db, psd_cap_db=12.0, payload_share=0.99):
    return rate_table(
        reference_db,
        DEFAULT_2MSPS,
        LinkTables.load(),
        target_block_error_rate=TARGET,
        margin_db=MARGIN_DB,
        psd_cap_db=psd_cap_db,
        payload_share=payload_share,
    )


def simulated_information(snr_db, bits_per_symbol, n=40_000):
    """Mutual information per symbol from drawn symbols and exact bit likelihoods."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, n * bits_per_symbol).astype(np.uint8)
    constellation = Constellation.of(bits_per_symbol)
    index = np.arange(1 << bits_per_symbol)[:, None]
    patterns = ((index >> np.arange(bits_per_symbol)[::-1]) & 1).astype(np.uint8)
    points = constellation.points(patterns.ravel())
    snr = 10.0 ** (snr_db / 10.0)
    noise = (rng.standard_normal(n) + 1j * rng.standard_normal(n)) * np.sqrt(0.5 / snr)
    likelihood = np.exp(-snr * np.abs((constellation.points(bits) + noise)[:, None] - points) ** 2)
    total = likelihood.sum(axis=1)
    sent = bits.reshape(n, bits_per_symbol)
    right = [(likelihood * (patterns[:, b] == sent[:, b : b + 1])).sum(axis=1) for b in range(bits_per_symbol)]
    return sum(1.0 - np.mean(np.log2(total / agreeing)) for agreeing in right)


@pytest.mark.parametrize(("bits_per_symbol", "snr_db"), [(1, -2.0), (2, 3.0), (4, 10.0), (6, 16.0)])
def test_mutual_information_agrees_with_simulation(bits_per_symbol, snr_db):
    information = mutual_information(np.array([snr_db]), bits_per_symbol)[0]
    assert information == pytest.approx(simulated_information(snr_db, bits_per_symbol), abs=0.02 * bits_per_symbol)


@given(names, st.floats(-15.0, 40.0), st.integers(1, 28))
def test_a_flat_channel_has_its_own_snr(mcs, snr_db, rb_count):
    assert effective_snr_db([snr_db] * rb_count, mcs) == pytest.approx(snr_db, abs=0.05)


@given(names, sinr_lists)
def test_the_effective_snr_lies_between_worst_and_best(mcs, sinr_db):
    assert min(sinr_db) - 0.01 <= effective_snr_db(sinr_db, mcs) <= max(sinr_db) + 0.01


@given(sinr_lists, st.integers(0, 27), st.floats(0.0, 10.0))
def test_a_better_resource_block_never_lowers_the_choice(sinr_db, index, gain_db):
    def efficiency(values):
        mcs = choose_mcs(values, LinkTables.load(), TARGET, MARGIN_DB)
        return 0.0 if mcs is None else McsTable.load()[mcs].bits_per_symbol * McsTable.load()[mcs].code_rate

    better = list(sinr_db)
    better[index % len(better)] += gain_db
    assert efficiency(better) >= efficiency(sinr_db)


def test_the_choice_meets_the_target_with_its_margin():
    tables = LinkTables.load()
    for snr_db in np.arange(-5.0, 30.0, 0.5):
        mcs = choose_mcs([snr_db] * 4, tables, TARGET, MARGIN_DB)
        if mcs is not None:
            assert tables.block_error_rate(mcs, snr_db - MARGIN_DB) <= TARGET * 1.05
    assert choose_mcs([-5.0], tables, TARGET, MARGIN_DB) is None
    assert choose_mcs([30.0], tables, TARGET, MARGIN_DB) == "64qam-3/4"


def test_goodput_counts_payload_over_the_whole_burst():
    tables = LinkTables.load()
    blocks = max_blocks(0, 7, "qpsk-3/4", DEFAULT_2MSPS)
    burst = DataBurst(client="a", burst_id=1, rb_start=0, rb_count=7, mcs="qpsk-3/4", block_ids=list(range(blocks)))
    air_s = burst_air_samples(burst, DEFAULT_2MSPS) / 2e6
    expected = 0.9 * blocks * 252 * 8 / air_s
    measured = goodput_bps("qpsk-3/4", 0, 7, 30.0, DEFAULT_2MSPS, tables, payload_share=0.9)
    assert measured == pytest.approx(expected, rel=1e-4)
    at_half = tables.required_snr_db("qpsk-3/4", 0.5)
    assert goodput_bps("qpsk-3/4", 0, 7, at_half, DEFAULT_2MSPS, tables, 0.9) == pytest.approx(0.5 * expected, rel=0.01)


@settings(max_examples=30)
@given(st.floats(-14.0, 45.0), st.floats(0.0, 14.0))
def test_rates_never_fall_with_more_resource_blocks(reference_db, psd_cap_db):
    rates = table(np.full(28, reference_db), psd_cap_db)
    assert len(rates.rate_bps) in (0, 28)
    assert len(rates.rate_bps) == len(rates.mcs) == len(rates.rb_used)
    assert np.all(np.diff(rates.rate_bps) >= 0.0)
    assert all(used <= count for count, used in enumerate(rates.rb_used, start=1))
    assert all(rate > 0.0 for rate in rates.rate_bps)


@given(st.floats(-14.0, 40.0), st.floats(0.1, 10.0))
def test_a_better_channel_never_has_a_lower_rate(reference_db, gain_db):
    worse, better = table(np.full(28, reference_db)), table(np.full(28, reference_db + gain_db))
    assert len(better.rate_bps) >= len(worse.rate_bps)
    assert all(b >= 0.999 * w for w, b in zip(worse.rate_bps, better.rate_bps, strict=False))


def test_a_client_that_is_not_heard_has_an_empty_table():
    assert table(np.full(28, -60.0)).rate_bps == []
    assert table(np.array([])).rate_bps == []


def test_power_gathered_on_few_blocks_reaches_where_the_full_band_does_not():
    rates = table(np.full(28, -3.0))
    assert choose_mcs(np.full(28, -3.0), LinkTables.load(), TARGET, MARGIN_DB) is None
    assert rates.rb_used[27] < 28
    capped = table(np.full(28, -3.0), psd_cap_db=0.0)
    assert capped.rate_bps == []


def test_barred_resource_blocks_shorten_the_table():
    assert len(table(np.full(20, 15.0)).rate_bps) == 20


def test_power_is_taken_back_only_beyond_the_headroom():
    tables = LinkTables.load()
    need_db = tables.required_snr_db("64qam-3/4", TARGET) + MARGIN_DB
    assert power_backoff_db([need_db + 2.9] * 4, tables, TARGET, MARGIN_DB) == 0.0
    assert power_backoff_db([need_db + 8.0] * 4, tables, TARGET, MARGIN_DB) == pytest.approx(5.0, abs=0.05)


def test_a_rate_table_takes_milliseconds():
    table(np.full(28, 10.0))
    began = time.process_time()
    for reference_db in range(10):
        table(np.full(28, float(reference_db)))
    assert (time.process_time() - began) / 10 < 0.05
