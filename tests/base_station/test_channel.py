import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_station.channel import (
    VALUES_PER_RB,
    Carrier,
    barred_rbs,
    measurement_from_sounding,
    rb_noise,
    received_cap_db,
)
from protocol.bursts import BurstReport, SoundingBurst
from radio.numerology import DEFAULT_2MSPS
from radio.soundings import tx_gain_db


def test_correction_takes_off_what_was_measured():
    carrier = Carrier().corrected(5_000.0).corrected(-20.0)
    assert carrier.cfo_correction_hz == pytest.approx(-4_980.0)
    assert carrier.clock_offset_ppm(2.4e9) == pytest.approx(4_980.0 / 2_400.0)


def test_an_rb_with_interference_is_barred():
    noise_db = np.full(28, -90.0)
    noise_db[[3, 17]] = -70.0
    assert barred_rbs(noise_db, 10.0) == [3, 17]


def test_what_leaks_from_a_jammed_rb_bars_none_beside_it():
    noise_db = np.full(28, -90.0)
    noise_db[[9, 10, 11]] = [-74.0, -50.0, -71.0]
    noise_db[27] = -60.0
    assert barred_rbs(noise_db, 10.0) == [10, 11, 27]


def test_noise_under_a_signal_is_that_of_the_silent_window_and_what_the_signal_adds():
    rng = np.random.default_rng(4)
    silent = rng.uniform(1.0, 2.0, 28)
    power = rng.uniform(100.0, 1000.0, 28)
    truth = silent + 0.003 * power
    sounded = truth * (1.0 + 0.1 * rng.standard_normal(28))
    sounded[5] = 50.0
    estimated = rb_noise(silent, sounded, power, power)
    others = np.arange(28) != 5
    assert np.max(np.abs(10 * np.log10(estimated / truth))[others]) < 0.2
    assert estimated[5] == 50.0
    np.testing.assert_array_equal(rb_noise(silent, 0.9 * silent, power, power), silent)


def sounded(tx_gain_db=0.0, **report):
    burst = SoundingBurst("a", 1, 0, 28, tx_gain_db=tx_gain_db)
    heard = BurstReport(
        "a", 1, True, gain_db=[-60.0] * 28, noise_db=[-90.0] * 28, sinr_db=[12.0 + tx_gain_db] * 28, **report
    )
    return measurement_from_sounding(burst, heard, 0, [-90.0] * 28, DEFAULT_2MSPS)


def test_a_sounding_is_referred_to_full_power():
    np.testing.assert_allclose(sounded(tx_gain_db=-10.0).reference_sinr_db, 12.0)
    assert sounded(tx_gain_db=-10.0).reference_snr_db == pytest.approx(12.0)


def test_what_the_signal_itself_adds_grows_with_its_power():
    full_power, silent, share = 10**-3.5, 1e-9, 1e-3
    sinr_db = {}
    for gain_db in (0.0, -20.0):
        power = full_power * 10 ** (gain_db / 10)
        noise = silent + share * power
        burst = SoundingBurst("a", 1, 0, 28, tx_gain_db=gain_db)
        heard = BurstReport(
            "a", 1, True, gain_db=[-60.0] * 28, noise_db=[10 * np.log10(noise)] * 28,
            sinr_db=[10 * np.log10(power / noise)] * 28,
        )  # fmt: skip
        measured = measurement_from_sounding(burst, heard, 0, [10 * np.log10(silent)] * 28, DEFAULT_2MSPS)
        sinr_db[gain_db] = measured.reference_snr_db
    truth_db = 10 * np.log10(full_power / (silent + share * full_power))
    assert sinr_db == {0.0: pytest.approx(truth_db), -20.0: pytest.approx(truth_db)}


def test_sinr_within_a_resource_block_follows_the_channel_estimate():
    loaded = DEFAULT_2MSPS.loaded_subcarriers(0, 28)
    channel_db = np.where(loaded % 8 < 4, -57.0, -63.0)
    fine_db = np.reshape(sounded(channel_db=channel_db.tolist()).fine_sinr_db, (28, VALUES_PER_RB))
    np.testing.assert_allclose(10 * np.log10(np.mean(10 ** (fine_db / 10), axis=1)), 12.0)
    steep = fine_db[[3, 20]]
    np.testing.assert_allclose(steep[:, 0] - steep[:, 2], 6.0, atol=0.5)
    assert sounded().sinr_db_within(3, 2) == [pytest.approx(12.0)] * (2 * VALUES_PER_RB)


def test_the_weakest_client_sets_the_power_nobody_may_exceed():
    assert received_cap_db([12.0, -3.0, 40.0], 20.0) == 17.0
    assert received_cap_db([], 20.0) == math.inf


@given(st.floats(-20, 12), st.integers(1, 28))
def test_power_per_rb_stays_under_its_cap(cap_db, rb_count):
    gain_db = tx_gain_db(28, rb_count, cap_db)
    assert gain_db <= 0.0
    assert gain_db + 10 * np.log10(28 / rb_count) <= cap_db + 1e-9
