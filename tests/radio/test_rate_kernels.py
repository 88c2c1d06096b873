"""The compiled loops of rates against the plain formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.link_tables import SMALLEST_RATE, LinkTables
from radio.rate_kernels import block_error_rate
from radio.rates import HIGHEST_SNR_DB, LOWEST_SNR_DB, SNR_STEP_DB, Grants, mutual_information

SNR_DB = np.arange(LOWEST_SNR_DB, HIGHEST_SNR_DB + SNR_STEP_DB, SNR_STEP_DB)
CURVES = {bits: np.maximum.accumulate(mutual_information(SNR_DB, bits)) for bits in (1, 2, 4, 6, 8)}
values = st.one_of(st.floats(-60.0, 80.0), st.sampled_from(SNR_DB.tolist()))


@given(
    st.sampled_from(list(CURVES)), st.sampled_from([0.0, 0.7, -1.3]),
    st.lists(st.lists(values, min_size=1, max_size=9), min_size=1, max_size=3),
)  # fmt: skip
def test_the_effective_snr_is_that_of_the_mean_information(bits, shift_db, grants):
    expected_db = []
    for sinr_db in grants:
        mean = np.mean(np.interp(sinr_db, SNR_DB - shift_db, CURVES[bits]))
        flat_end = mean >= CURVES[bits][-1] - 1e-6 * bits
        expected_db.append(min(sinr_db) if flat_end else np.interp(mean, CURVES[bits], SNR_DB - shift_db))
    counts = np.array([len(sinr_db) for sinr_db in grants])
    together = Grants(np.zeros(len(counts), int), counts, np.concatenate(grants))
    # What rounding does to the mean decides on the flat end, and counts much just below it.
    np.testing.assert_allclose(together.effective_snr_db(bits, shift_db), expected_db, atol=1e-6)


@pytest.mark.parametrize("codec", ["convolutional", "ldpc", "ldpc-short"])
def test_the_block_error_rate_is_the_tables_at_and_between_and_beyond_the_points(codec):
    tables, rng = LinkTables.load().of(codec), np.random.default_rng(4)
    for place, mcs in enumerate(tables.mcs_names):
        points = tables.knots.snr_db[place, : tables.knots.points[place]]
        snr_db = np.concatenate([points, points[0] - [0.49, 0.51], rng.uniform(-20.0, 45.0, 100)])
        rates = [block_error_rate(snr, place, tables.knots, SMALLEST_RATE) for snr in snr_db]
        np.testing.assert_allclose(rates, tables.block_error_rates(mcs, snr_db), rtol=1e-13)
