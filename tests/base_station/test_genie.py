"""The channel that the genie knows, beside what the base station measures of it."""

import numpy as np
import pytest

from base_station.genie import true_channel
from benchmarks.parts.radio_rounds import RadioRounds
from protocol.experiment_file import experiment_from_dict
from radio.channel.levels import reference_snr_db
from radio.numerology import DEFAULT_2MSPS

BAND = (0, 28)


def experiment(allocation, **channel):
    return experiment_from_dict(
        {
            "experiment": {"name": "genie", "seed": 5},
            "radio": {"driver": "abstract"},
            "channel": {"model": "tdl-c", "delay_spread_s": 300e-9, **channel},
            "tsfa": {"allocation": allocation},
            "clients": {"members": [{"name": "c1", "mean_snr_db": 18.0}, {"name": "c2", "mean_snr_db": 9.0}]},
        },
        "genie",
    )


def played(allocation):
    with RadioRounds(experiment(allocation)) as rounds:
        return rounds.play(1, {"c1": (0, 13), "c2": (14, 14)}).link


def test_a_round_of_the_genie_knows_the_true_channel_and_any_other_measures_it_with_an_error():
    genie, tsfa = played("genie"), played("tsfa")
    for name in ("c1", "c2"):
        truth = true_channel(experiment("genie"), DEFAULT_2MSPS, 1, name)
        assert genie.channels[name] == truth
        assert len(truth.fine_sinr_db) == len(tsfa.channels[name].fine_sinr_db)
        error = np.array(tsfa.channels[name].reference_sinr_db) - truth.reference_sinr_db
        assert 0.0 < np.sqrt(np.mean(error**2)) < 2.0
        assert abs(np.median(error)) < 0.5
        gain_error = np.array(tsfa.channels[name].gain_db) - truth.gain_db
        assert abs(np.median(gain_error)) < 0.5


def test_without_fading_the_truth_is_the_reference_snr():
    awgn = experiment("genie", model="awgn", attenuation_db=2.0)
    for member, snr_db in zip(awgn.clients.members, (16.0, 7.0), strict=True):
        truth = true_channel(awgn, DEFAULT_2MSPS, 1, member.name)
        assert reference_snr_db(awgn, member) == pytest.approx(snr_db)
        # The carrier's three subcarriers are never loaded: their power goes to the others.
        assert truth.reference_snr_db == pytest.approx(snr_db + 10 * np.log10(224 / 221))
        assert np.ptp(truth.fine_sinr_db) < 1e-9


def test_a_jammer_is_part_of_the_truth():
    jammed = experiment("genie", model="awgn", jammer_rb=9, jammer_rb_count=2, jammer_db=20.0)
    sinr_db = np.array(true_channel(jammed, DEFAULT_2MSPS, 1, "c1").reference_sinr_db)
    loss_db = np.where(np.isin(np.arange(28), (9, 10)), 20.04, 0.0)
    np.testing.assert_allclose(sinr_db.max() - sinr_db, loss_db, atol=0.01)
