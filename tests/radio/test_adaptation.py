"""The loop against drawn blocks: link tables say how many of a burst's are lost, the SINR is measured with an error."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.random_streams import random_stream
from radio.adaptation import LARGEST_OFFSET_DB, STEP_DB, GrantLink, LinkState, after_burst, after_silence
from radio.link_tables import LinkTables
from radio.numerology import DEFAULT_2MSPS
from radio.rates import Grants, LinkRule, choose_mcs

TARGET = 0.1
INITIAL_DB = 1.0
SINR_ERROR_DB = 0.6
RBS = 6
TABLES = LinkTables.load().of("convolutional")
RULE = LinkRule(TABLES, DEFAULT_2MSPS, TARGET)


def flat(snr_db):
    """One grant over a flat channel."""
    return Grants.one(2, RBS, [snr_db] * RBS)


def cliff(mcs):
    """The table of a code that loses all blocks below its need and hardly one above it."""
    need_db = TABLES.required_snr_db(mcs, TARGET)
    return replace(TABLES.curves[mcs], snr_db=need_db + np.array([-0.2, 0.0, 0.2]), log_rate=np.log([0.99, 0.1, 1e-3]))


CLIFFS = replace(TABLES, curves={mcs: cliff(mcs) for mcs in TABLES.mcs_names})


@dataclass
class Link:
    """A client's rounds over a flat channel: one burst of first transmissions each."""

    tables: LinkTables
    mean_snr_db: float
    seed: int
    rayleigh: bool = True
    bias_db: float = 0.0
    """By which the SINR is measured too high."""
    air_s: float = 0.03
    sent: int = 0
    lost: int = 0

    def __post_init__(self):
        self.state = LinkState(INITIAL_DB)
        self.rng = random_stream(self.seed, "link adaptation", self.mean_snr_db)

    def play(self, bursts):
        self.sent = self.lost = 0
        for _ in range(bursts):
            self._round()
        return self.lost / max(self.sent, 1)

    def _round(self):
        rule = LinkRule(self.tables, DEFAULT_2MSPS, TARGET)
        fade_db = 10 * np.log10(max(self.rng.exponential(), 0.01)) if self.rayleigh else 0.0
        snr_db = self.mean_snr_db + fade_db
        measured = flat(snr_db + self.bias_db + self.rng.normal(0.0, SINR_ERROR_DB))
        if choose_mcs(rule, measured, self.state.offset_db) is None:
            self.state = after_silence(self.state, TARGET, INITIAL_DB)
            return
        link = GrantLink(rule, self.state, measured, INITIAL_DB)
        blocks = max(1, int(self.air_s * 250e3 * (1 + self.tables.mcs_names.index(link.mcs)) / 2048))
        lost = self.rng.binomial(blocks, self.tables.block_error_rate(link.mcs, snr_db - link.backoff_db))
        link.burst_done(blocks, lost, first=True, detected=True)
        self.state = link.state
        self.sent, self.lost = self.sent + blocks, self.lost + lost


def mean_error_rate(tables, **link):
    rates = []
    for seed in range(5):
        client = Link(tables, seed=seed, **link)
        client.play(50)
        rates.append(client.play(200))
    return float(np.mean(rates))


@pytest.mark.parametrize("bias_db", [-1.5, 2.0])
def test_the_block_error_rate_meets_the_target_over_fading_rounds(bias_db):
    assert 0.08 <= mean_error_rate(TABLES, mean_snr_db=12.0, bias_db=bias_db) <= 0.12


@pytest.mark.parametrize("air_s", [0.003, 0.1])
def test_it_does_so_where_whole_bursts_are_lost_at_once(air_s):
    assert 0.08 <= mean_error_rate(CLIFFS, mean_snr_db=12.0, air_s=air_s) <= 0.12


def test_it_does_so_on_a_channel_that_does_not_change():
    assert 0.08 <= mean_error_rate(CLIFFS, mean_snr_db=9.0, rayleigh=False) <= 0.12


def test_the_offset_settles_at_what_the_measurement_is_wrong_by():
    honest, flattering = Link(TABLES, 12.0, 1), Link(TABLES, 12.0, 1, bias_db=3.0)
    honest.play(400)
    flattering.play(400)
    assert flattering.state.offset_db - honest.state.offset_db == pytest.approx(3.0, abs=1.0)


def test_easy_bursts_do_not_spend_the_offset():
    link = Link(CLIFFS, 40.0, 1, rayleigh=False)
    link.play(200)
    assert link.state.offset_db == pytest.approx(INITIAL_DB, abs=0.02)


@given(
    st.floats(-10.0, 10.0), st.floats(1.0, 300.0), st.integers(1, 500), st.floats(0.0, 1.0), st.floats(0.01, 0.5)
)  # fmt: skip
def test_steps_and_offset_are_bounded_and_go_with_the_losses(offset_db, usual, blocks, share, target):
    before, failed = LinkState(offset_db, usual), round(share * blocks)
    after = after_burst(before, blocks, failed, target)
    assert abs(after.offset_db) <= LARGEST_OFFSET_DB
    assert abs(after.offset_db - offset_db) <= 3.0 * STEP_DB
    if failed > target * blocks:
        assert after.offset_db >= offset_db
    if failed < target * blocks:
        assert after.offset_db <= offset_db


def test_a_bad_burst_lowers_the_mcs_for_the_rest_of_the_round_only():
    link = GrantLink(RULE, LinkState(INITIAL_DB), flat(14.5), INITIAL_DB)
    seen = [link.mcs]
    for _ in range(3):
        link.burst_done(20, 20, first=False, detected=True)
        seen.append(link.mcs)
    names = TABLES.mcs_names
    assert [names.index(mcs) for mcs in seen] == sorted((names.index(mcs) for mcs in set(seen)), reverse=True)
    assert len(set(seen)) == 4
    assert link.state == LinkState(INITIAL_DB)


def test_the_lowest_mcs_stays_whatever_is_lost():
    link = GrantLink(RULE, LinkState(INITIAL_DB), flat(1.5), INITIAL_DB)
    for _ in range(4):
        link.burst_done(20, 20, first=True, detected=True)
    assert link.mcs == "bpsk-1/2"
    assert link.state.offset_db > INITIAL_DB


def test_retransmissions_and_undetected_bursts_do_not_move_the_offset():
    link = GrantLink(RULE, LinkState(INITIAL_DB), flat(12.0), INITIAL_DB)
    link.burst_done(20, 4, first=False, detected=True)
    link.burst_done(20, 20, first=True, detected=False)
    assert link.state == LinkState(INITIAL_DB)
    assert link.offset_db == INITIAL_DB
    link.burst_done(20, 4, first=True, detected=True)
    assert link.state.offset_db > INITIAL_DB


def test_power_taken_back_returns_before_the_top_mcs_is_given_up():
    link = GrantLink(RULE, LinkState(INITIAL_DB), flat(40.0), INITIAL_DB)
    first_db = link.backoff_db
    assert first_db > 10.0
    link.burst_done(20, 20, first=True, detected=True)
    assert link.mcs == "64qam-3/4"
    assert link.backoff_db == pytest.approx(first_db - 3.0, abs=0.1)


def test_a_client_shut_out_by_its_offset_comes_back():
    state = LinkState(9.0)
    for _ in range(400):
        state = after_silence(state, TARGET, INITIAL_DB)
    assert state.offset_db == INITIAL_DB
    assert after_silence(LinkState(-2.0), TARGET, INITIAL_DB).offset_db == -2.0
