import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_station.channel import Carrier, barred_rbs, psd_caps_db, tx_gain_db, usable_run


def test_correction_takes_off_what_was_measured():
    carrier = Carrier().corrected(5_000.0).corrected(-20.0)
    assert carrier.cfo_correction_hz == pytest.approx(-4_980.0)
    assert carrier.clock_offset_ppm(2.4e9) == pytest.approx(4_980.0 / 2_400.0)


def test_an_rb_with_interference_is_barred():
    noise_db = np.full(28, -90.0)
    noise_db[[3, 17]] = -70.0
    assert barred_rbs(noise_db, 10.0) == [3, 17]


@pytest.mark.parametrize(
    ("barred", "run"), [([], (0, 28)), ([0], (1, 27)), ([14], (0, 14)), ([3, 20], (4, 16)), (list(range(28)), (0, 0))]
)
def test_the_longest_run_of_usable_rbs_is_used(barred, run):
    assert usable_run(28, barred) == run


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(-10, 50), min_size=1), st.integers(1, 28))
def test_power_per_rb_never_exceeds_the_weakest_by_more_than_the_spread(snr_db, rb_count):
    caps = psd_caps_db(snr_db, 12.0, 20.0)
    weakest_at_full_band = min(snr_db.values())
    for name, cap_db in caps.items():
        per_rb_db = snr_db[name] + tx_gain_db(28, rb_count, cap_db) + 10 * np.log10(28 / rb_count)
        assert per_rb_db <= weakest_at_full_band + 20.0 + 1e-9
        assert tx_gain_db(28, rb_count, cap_db) <= 0.0
