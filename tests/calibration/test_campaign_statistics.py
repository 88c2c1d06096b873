"""What a campaign says of a channel of known statistics is right within the error it states."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from campaign_lab import campaign_plan, measured
from scipy import stats

from calibration.campaign.delays import delay_profile, fading_delay_spread
from calibration.campaign.estimates import delay_spread, estimate_sounding, exponential_correlation, sounding_grid
from calibration.campaign.fading import MODELS, fading_fits, fitted_distribution, k_factor
from calibration.campaign.journal import Journal
from calibration.campaign.motion import doppler, fading_spectrum, model_spectrum
from calibration.campaign.path_loss import path_loss
from calibration.campaign.plan import Link
from calibration.campaign.radios import receiving_experiment
from calibration.campaign.records import Sounding, packed_channel
from calibration.campaign.series import LinkSeries, correlated_soundings, link_series
from calibration.campaign.summary import summarise
from deploy.cli import main
from radio.channel import draws
from radio.channel.fading import FadingModel, draw_moving_taps, draw_taps, frequency_response
from radio.numerology import DEFAULT_2MSPS

GRID = sounding_grid(DEFAULT_2MSPS)
OFFSETS_HZ = GRID.subcarriers * DEFAULT_2MSPS.subcarrier_spacing_hz
RB = GRID.layout.rb_of_subcarrier
NOISE = 1e-3


def deviation(quantity, truth):
    """Of what was found, in the standard deviations it states."""
    return (quantity.value - truth) / quantity.uncertainty


def drawn_series(model: FadingModel, count: int, seed: int, doppler_hz: float = 0.0, interval_s: float = 1.0):
    """A link measured without a radio: 30 dB over noise."""
    rng = np.random.default_rng(seed)
    times = interval_s * np.arange(count)
    if doppler_hz:
        taps = [draw_moving_taps(np.random.default_rng(seed), model, doppler_hz, t) for t in times]
    else:
        taps = [draw_taps(rng, model) for _ in times]
    response = np.array([frequency_response(one, OFFSETS_HZ) for one in taps])
    response = response + math.sqrt(NOISE / 2) * rng.standard_normal((*response.shape, 2)).view(complex)[..., 0]
    power = np.abs(response) ** 2 - NOISE
    rb_power = np.array([np.bincount(RB, row) / np.bincount(RB) for row in power])
    return LinkSeries(
        Link("a", "b"), [None] * count, 0, times, rb_power.mean(axis=1), rb_power / power.mean(), response,
        np.full(count, NOISE),
    )  # fmt: skip


@pytest.fixture(scope="module")
def rician(tmp_path_factory):
    plan = campaign_plan(sweeps=120, channel={"model": "rician", "rician_k_db": 6.0})
    return plan, measured(tmp_path_factory.mktemp("rician") / "c", plan)


def test_path_loss_of_a_campaign_is_found_within_its_error(rician):
    fit = path_loss(rician[1])
    assert abs(deviation(fit.exponent, 3.5)) < 3.0
    assert fit.exponent.uncertainty < 0.2
    assert abs(deviation(fit.loss_1m_db, 40.0)) < 3.0
    assert fit.r_squared > 0.99


def carried_soundings(seed: int) -> list[Sounding]:
    """One that stays and one that is carried to four places, eight soundings each, in slow fading of exponent 3.5."""
    soundings = []
    for name, places in (("stays", [7.0] * 4), ("carried", [5.0, 10.0, 20.0, 40.0])):
        for second in range(32):
            rng = np.random.default_rng([seed, len(name)])
            taps = draw_moving_taps(rng, FadingModel("tdl-a"), 0.1, float(second))
            gain = np.abs(frequency_response(taps, OFFSETS_HZ)) ** 2
            distance_m = places[second // 8]
            gain_db = 10.0 * np.log10(gain.mean()) - 40.0 - 35.0 * math.log10(distance_m)
            soundings.append(
                Sounding(sweep=second + 1, transmitter=name, receiver="b", time_s=second, taken_at="", detected=True,
                         gain_db=[gain_db], distance_m=distance_m)
            )  # fmt: skip
    return soundings


def test_stated_errors_of_the_path_loss_hold_for_short_stays_in_slow_fading():
    fits = [path_loss(carried_soundings(seed)) for seed in range(30)]
    assert 0.6 < np.sqrt(np.mean([deviation(fit.exponent, 3.5) ** 2 for fit in fits])) < 1.5


def test_k_factor_and_distribution_of_a_campaign_are_found_within_their_errors(rician):
    plan, soundings = rician
    for link in plan.links:
        series = link_series(link, soundings, GRID)
        k = k_factor(series)
        assert abs(deviation(k, 10.0**0.6)) < 3.0
        assert k.uncertainty < 1.2
        fits = {fit.model: fit for fit in fading_fits(series)}
        assert fits["rice"].p_value > 0.01
        assert fits["rayleigh"].p_value < 0.01
        assert fits["rice"].aic < fits["rayleigh"].aic


def test_carrier_offsets_of_a_campaign_are_those_of_the_crystals(rician):
    plan, soundings = rician
    for link in summarise(plan, soundings[:30], GRID).links:
        experiment = receiving_experiment(plan, link.receiver, 0.0)
        truth_hz = 1e-6 * draws.offset_ppm(experiment, link.transmitter) * experiment.radio.carrier_hz
        assert link.cfo_hz.value == pytest.approx(truth_hz, abs=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_doppler_and_delay_spread_are_found_within_their_errors(seed):
    series = drawn_series(FadingModel("tdl-a", 300e-9), 300, seed, doppler_hz=0.08)
    motion = doppler(series, k_factor(series))
    assert abs(deviation(motion.doppler_hz, 0.08)) < 3.5
    assert motion.doppler_hz.uncertainty < 0.02
    spread = fading_delay_spread(series, GRID)
    assert abs(deviation(spread, 300e-9)) < 3.0
    assert spread.uncertainty < 100e-9


def test_stated_errors_of_the_delay_spread_are_neither_too_small_nor_too_large():
    found = [fading_delay_spread(drawn_series(FadingModel("tdl-b", 400e-9), 100, seed), GRID) for seed in range(16)]
    assert 0.6 < np.sqrt(np.mean([deviation(spread, 400e-9) ** 2 for spread in found])) < 1.6


@pytest.mark.parametrize(("count", "doppler_hz"), [(32, 0.12), (64, 0.08), (150, 0.18)])
def test_stated_errors_of_the_doppler_frequency_hold_for_short_series_too(count, doppler_hz):
    series = [drawn_series(FadingModel("tdl-a"), count, seed, doppler_hz=doppler_hz) for seed in range(12)]
    found = [motion.doppler_hz for motion in (doppler(one, None) for one in series) if motion.doppler_hz is not None]
    assert len(found) >= 9
    assert 0.2 < np.sqrt(np.mean([deviation(quantity, doppler_hz) ** 2 for quantity in found])) < 1.6


def test_fading_of_one_that_was_carried_about_is_judged_where_it_stayed_longest(tmp_path):
    stops = [{"radio": "a", "position_m": [float(20 + t), 0.0], "from_s": float(t)} for t in range(1, 6)]
    plan = campaign_plan(30, [{"name": "a", "distance_m": 8.0}], campaign={"stops": stops})
    still = link_series(plan.links[0], measured(tmp_path / "c", plan), GRID).still()
    assert [s.sweep for s in still.soundings] == list(range(6, 31))
    assert len(still.response) == len(still.gain) == len(still.rb_power) == 25


def test_fades_redrawn_from_sounding_to_sounding_have_no_doppler_frequency():
    motion = doppler(drawn_series(FadingModel("rayleigh"), 100, 1), None)
    assert motion.doppler_hz is None
    assert "independent" in motion.remark


def test_a_strong_constant_path_hides_the_doppler_frequency():
    series = drawn_series(FadingModel("rician", rician_k_db=9.0), 300, 2, doppler_hz=0.08)
    motion = doppler(series, k_factor(series))
    assert motion.doppler_hz is None
    assert "constant path" in motion.remark


def test_a_channel_that_does_not_fade_has_no_k_factor_and_no_delay_spread():
    series = drawn_series(FadingModel("awgn"), 100, 3)
    assert k_factor(series) is None
    assert fading_delay_spread(series, GRID) is None


def test_soundings_that_fade_alike_count_once():
    assert correlated_soundings(drawn_series(FadingModel("rayleigh"), 200, 4).rb_power) == 1
    slow = correlated_soundings(drawn_series(FadingModel("rayleigh"), 200, 4, doppler_hz=0.02).rb_power)
    assert 6 <= slow <= 20


@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_every_distribution_is_told_from_the_samples_it_draws(model):
    parameters = {"rayleigh": (), "rice": (4.0,), "nakagami": (2.5,), "lognormal": (-0.3, 0.8)}[model.name]
    drawn = model.draw(np.random.default_rng(5), (400,), *map(np.array, parameters))
    distance, p_value = stats.kstest(drawn, lambda p: model.distribution(p, *parameters))
    assert p_value > 0.01, distance
    # Density and distribution belong together.
    step, at = 1e-5, np.array([0.3, 0.9, 2.0])
    slope = (model.distribution(at + step, *parameters) - model.distribution(at - step, *parameters)) / (2 * step)
    np.testing.assert_allclose(np.exp(model.log_density(at, *map(np.array, parameters))), slope, rtol=1e-4)


def test_a_fit_is_drawn_as_it_was_fitted():
    series = drawn_series(FadingModel("rician", rician_k_db=5.0), 150, 6)
    power = np.sort(series.rb_power[:, 14] / series.rb_power[:, 14].mean())
    for fit in fading_fits(series):
        shares = fitted_distribution(fit, power)
        steps = np.arange(len(power)) / len(power)
        assert max((shares - steps).max(), (steps + 1 / len(power) - shares).max()) == pytest.approx(fit.distance)


def test_a_profile_shows_paths_where_they_are():
    series = drawn_series(FadingModel("awgn"), 4, 7)
    two = series.response * (1.0 + 0.5 * np.exp(-2j * np.pi * OFFSETS_HZ * 4e-6))
    delay_s, power = delay_profile(series._replace(response=two), GRID)
    # The mean delay of powers 1 and 1/4 lies 0.8 us behind the first path.
    first, second = (power[np.argmin(np.abs(delay_s - at))] for at in (-0.8e-6, 3.2e-6))
    assert first == pytest.approx(1.0, abs=0.05)
    assert 10 * np.log10(second) == pytest.approx(-6.0, abs=0.5)
    assert 10 * np.log10(power[np.argmin(np.abs(delay_s - 7e-6))] + 1e-9) < -30.0


def test_the_spectrum_of_fading_ends_at_twice_the_doppler_frequency():
    series = drawn_series(FadingModel("tdl-a"), 600, 8, doppler_hz=0.1)
    frequency_hz, density = fading_spectrum(series)
    inside, outside = density[(frequency_hz > 0.02) & (frequency_hz < 0.18)], density[frequency_hz > 0.26]
    assert outside.max() < 0.01 * inside.min()
    model = model_spectrum(frequency_hz, 0.1, 1.0)
    assert np.sum(model) * (frequency_hz[1] - frequency_hz[0]) == pytest.approx(1.0, abs=0.1)
    assert model[frequency_hz > 0.25].max() < 0.01 * model[1]


def test_the_delay_spread_of_a_burst_is_the_curvature_of_its_correlation(tmp_path):
    (sounding,) = measured(
        tmp_path / "c", campaign_plan(1, [{"name": "a", "distance_m": 5.0}], channel={"model": "awgn"})
    )
    for echo_s in (2e-6, 4e-6):  # several periods of the response within the band
        response = 1.0 + 0.8 * np.exp(-2j * np.pi * OFFSETS_HZ * echo_s)
        power = np.array([1.0, 0.64]) / 1.64
        truth_s = echo_s * math.sqrt(power[1] - power[1] ** 2)
        replaced = msgspec.structs.replace(sounding, channel=packed_channel(response.astype(np.complex64)))
        assert delay_spread(replaced, GRID).value == pytest.approx(truth_s, rel=0.3)
    assert estimate_sounding(sounding, GRID).delay_spread_s.value <= 5e-9
    np.testing.assert_allclose(exponential_correlation(np.array([1e6]), np.array([1e-6 / (2 * np.pi)])), 0.5)


def test_show_tells_page_numbers_and_what_was_never_heard(tmp_path, capsys):
    members = [{"name": "a", "distance_m": 8.0}, {"name": "b", "distance_m": 9000.0}]
    measured(tmp_path / "c", campaign_plan(30, members, channel={"model": "rayleigh"}))
    assert main(["campaign", "show", str(tmp_path / "c"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["soundings"], document["detected"], document["silent_links"]) == (60, 30, ["b > base-station"])
    (link,) = document["links"]
    assert {"value", "uncertainty"} == set(link["gain_db"]) == set(link["k_factor"]) == set(link["cfo_hz"])
    assert {fit["model"] for fit in link["fading"]} == {"rayleigh", "rice", "nakagami", "lognormal"}
    assert document["path_loss"] is None
    page = (tmp_path / "c" / "campaign.html").read_text()
    assert page.count("<svg viewBox") >= 4
    assert "http" not in page.replace("http://www.w3.org", "")
    assert main(["campaign", "show", str(tmp_path / "c")]) == 0
    assert "never heard: b > base-station" in capsys.readouterr().out
    assert main(["campaign", "show", str(tmp_path)]) == 12


def test_what_calibration_leaves_open_is_told_beside_the_gain(tmp_path, capsys):
    plan = campaign_plan(3, [{"name": "a", "distance_m": 8.0}])
    with Journal.create(tmp_path / "c", plan) as journal:
        for sounding in measured(tmp_path / "uncalibrated", plan):
            journal.append(msgspec.structs.replace(sounding, level_uncertainty_db=0.17))
    assert main(["campaign", "show", str(tmp_path / "c"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["links"][0]["level_uncertainty_db"] == 0.17
    assert main(["campaign", "show", str(tmp_path / "c")]) == 0
    assert "(level ± 0.17)" in capsys.readouterr().out
    assert main(["campaign", "show", str(tmp_path / "uncalibrated")]) == 0
    assert "level" not in capsys.readouterr().out


def test_a_campaign_of_one_sounding_can_be_shown(tmp_path, capsys):
    measured(tmp_path / "c", campaign_plan(1, [{"name": "a", "distance_m": 8.0}]))
    assert main(["campaign", "show", str(tmp_path / "c")]) == 0
    assert "1 of 1" in capsys.readouterr().out
