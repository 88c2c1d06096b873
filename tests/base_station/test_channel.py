import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_station.channel import Carrier, barred_rbs, received_cap_db, tx_gain_db


def test_correction_takes_off_what_was_measured():
    carrier = Carrier().corrected(5_000.0).corrected(-20.0)
    assert carrier.cfo_correction_hz == pytest.approx(-4_980.0)
    assert carrier.clock_offset_ppm(2.4e9) == pytest.approx(4_980.0 / 2_400.0)


def test_an_rb_with_interference_is_barred():
    noise_db = np.full(28, -90.0)
    noise_db[[3, 17]] = -70.0
    assert barred_rbs(noise_db, 10.0) == [3, 17]


def test_the_weakest_client_sets_the_power_nobody_may_exceed():
    assert received_cap_db([12.0, -3.0, 40.0], 20.0) == 17.0
    assert received_cap_db([], 20.0) == math.inf


@given(st.floats(-20, 12), st.integers(1, 28))
def test_power_per_rb_stays_under_its_cap(cap_db, rb_count):
    gain_db = tx_gain_db(28, rb_count, cap_db)
    assert gain_db <= 0.0
    assert gain_db + 10 * np.log10(28 / rb_count) <= cap_db + 1e-9
