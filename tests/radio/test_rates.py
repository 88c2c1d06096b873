import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bursts import DataBurst
from radio.link_tables import LinkTables
from radio.modem import McsTable, burst_air_samples, max_blocks
from radio.modem.constellations import Constellation
from radio.numerology import DEFAULT_2MSPS, Numerology
from radio.rates import (
    Grants,
    LinkRule,
    best_mcs,
    choose_mcs,
    effective_snr_db,
    excess_db,
    expected_goodput_bps,
    most_robust_mcs,
    mutual_information,
    power_backoff_db,
)

TARGET = 0.05
OFFSET_DB = 1.0
TABLES = LinkTables.load().of("convolutional")
RULE = LinkRule(TABLES, DEFAULT_2MSPS, TARGET, payload_share=0.9)
CONVOLUTIONAL = [scheme.name for scheme in McsTable.load().of("convolutional")]
names = st.sampled_from(CONVOLUTIONAL)
sinr_lists = st.lists(st.floats(-10.0, 35.0), min_size=1, max_size=28)


def goodput_bps(sinr_db, rb_start=0, offset_db=OFFSET_DB, rule=RULE):
    """Goodput of one grant with its best MCS."""
    return best_mcs(rule, Grants.one(rb_start, len(sinr_db), sinr_db), offset_db)[0][0]


def flat(snr_db, rb_count=1):
    """One grant over a flat channel."""
    return Grants.one(0, rb_count, [snr_db] * rb_count)


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


@pytest.mark.parametrize(("bits_per_symbol", "snr_db"), [(1, -2.0), (2, 3.0), (4, 10.0), (6, 16.0), (8, 22.0)])
def test_mutual_information_agrees_with_simulation(bits_per_symbol, snr_db):
    information = mutual_information(np.array([snr_db]), bits_per_symbol)[0]
    assert information == pytest.approx(simulated_information(snr_db, bits_per_symbol), abs=0.02 * bits_per_symbol)


@given(
    st.sampled_from(["ldpc", "ldpc-short", "convolutional"]), st.integers(0, 2**32 - 1), st.floats(-12.0, 40.0),
    st.floats(0.0, 10.0), st.sampled_from([1e-8, 0.01, 0.1, 0.6]),
)  # fmt: skip
def test_the_best_mcs_is_that_of_the_whole_ladder(codec, seed, mean_db, spread_db, target):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 12, 6)
    sinr_db = mean_db + spread_db * rng.standard_normal(count.sum())
    grants = Grants(rng.integers(0, 28 - count + 1), count, sinr_db)
    rule = LinkRule(LinkTables.load().of(codec), DEFAULT_2MSPS, target, payload_share=0.97)
    rate, lost = expected_goodput_bps(rule, grants, 0.7)
    allowed = np.where(lost <= target, rate, 0.0)
    found_bps, found = best_mcs(rule, grants, 0.7)
    np.testing.assert_allclose(found_bps, allowed.max(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found, allowed.argmax(axis=0))


@given(names, st.floats(-15.0, 40.0), st.integers(1, 28))
def test_a_flat_channel_has_its_own_snr(mcs, snr_db, rb_count):
    assert effective_snr_db([snr_db] * rb_count, mcs) == pytest.approx(snr_db, abs=0.05)


@given(names, sinr_lists)
def test_the_effective_snr_lies_between_worst_and_best(mcs, sinr_db):
    assert min(sinr_db) - 0.01 <= effective_snr_db(sinr_db, mcs) <= max(sinr_db) + 0.01


def test_grants_that_are_judged_together_have_the_effective_snr_each_has_alone():
    rng = np.random.default_rng(2)
    parts = [rng.uniform(-5.0, 30.0, count) for count in (1, 5, 2, 28)]
    together = Grants(np.zeros(4, int), np.array([len(p) for p in parts]), np.concatenate(parts))
    alone = [effective_snr_db(part, "16qam-1/2") for part in parts]
    np.testing.assert_allclose(together.effective_snr_db(4), alone)


@given(sinr_lists, st.integers(0, 27), st.floats(0.0, 10.0))
def test_a_better_resource_block_never_lowers_the_goodput(sinr_db, index, gain_db):
    better = list(sinr_db)
    better[index % len(better)] += gain_db
    assert goodput_bps(better) >= goodput_bps(sinr_db)


def test_the_choice_meets_the_target_with_its_offset():
    for snr_db in np.arange(-5.0, 30.0, 0.5):
        mcs = choose_mcs(RULE, flat(snr_db, 4), OFFSET_DB)
        if mcs is not None:
            assert TABLES.block_error_rate(mcs, snr_db - OFFSET_DB) <= TARGET * 1.05
            assert excess_db(RULE, mcs, flat(snr_db, 4), OFFSET_DB) >= -0.05
    assert choose_mcs(RULE, flat(-5.0), OFFSET_DB) is None
    assert choose_mcs(RULE, flat(30.0), OFFSET_DB) == "64qam-3/4"
    assert choose_mcs(RULE, flat(30.0), 20.0) != "64qam-3/4"


def test_goodput_counts_payload_over_the_whole_burst():
    blocks = max_blocks(0, 7, "64qam-3/4", DEFAULT_2MSPS)
    burst = DataBurst(client="a", burst_id=1, rb_start=0, rb_count=7, mcs="64qam-3/4", block_ids=list(range(blocks)))
    air_s = burst_air_samples(burst, DEFAULT_2MSPS) / 2e6
    expected = 0.9 * blocks * 252 * 8 / air_s
    assert goodput_bps([40.0] * 7) == pytest.approx(expected, rel=1e-4)
    at_half = TABLES.required_snr_db("64qam-3/4", 0.5)
    lossy = LinkRule(TABLES, DEFAULT_2MSPS, 1.0, payload_share=0.9)
    worth = max(
        0.5 * expected,
        goodput_bps([at_half] * 7, offset_db=0.0, rule=LinkRule(TABLES, DEFAULT_2MSPS, 0.4, payload_share=0.9)),
    )
    assert goodput_bps([at_half] * 7, offset_db=0.0, rule=lossy) == pytest.approx(worth, rel=0.01)


def test_an_mcs_whose_block_does_not_fit_a_burst_is_no_choice(monkeypatch):
    monkeypatch.setattr("radio.rates.max_blocks", lambda start, count, mcs, _: 0 if "bpsk-1/2" in mcs else 8)
    rule = LinkRule(TABLES, Numerology(cp=16), TARGET)
    assert most_robust_mcs(rule, flat(0.0)) == "bpsk-3/4"
    assert choose_mcs(rule, flat(TABLES.required_snr_db("bpsk-1/2", TARGET) + 0.1), 0.0) is None


def test_power_is_taken_back_only_beyond_the_headroom():
    need_db = TABLES.required_snr_db("64qam-3/4", TARGET) + OFFSET_DB
    assert power_backoff_db(RULE, flat(need_db + 2.9, 4), OFFSET_DB) == 0.0
    assert power_backoff_db(RULE, flat(need_db + 8.0, 4), OFFSET_DB) == pytest.approx(5.0, abs=0.05)
