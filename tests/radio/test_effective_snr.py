"""The effective SNR mapping against the whole modem; ``python -m benchmarks.effective_snr`` measures more."""

import pytest

from benchmarks.effective_snr import LIMIT_DB, Case, ten_percent_points_db
from radio.channel.fading import FadingModel


@pytest.mark.parametrize(
    ("mcs", "model"),
    [("16qam-553", FadingModel("tdl-c", 800e-9)), ("qpsk-449", FadingModel("tdl-a", 300e-9))],
)
def test_the_predicted_ten_percent_point_is_the_modems(mcs, model):
    case = Case(mcs, model, realisations=16, blocks=1, seed=2)
    predicted_db, measured_db = ten_percent_points_db(case)
    assert measured_db == pytest.approx(predicted_db, abs=LIMIT_DB)
