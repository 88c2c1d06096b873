"""Fading taps: the profiles' figures, statistics, Doppler, and samples through the taps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j0

from protocol.errors import ConfigurationError
from radio.channel.fading import (
    LONGEST_ECHO_S,
    FadingModel,
    Taps,
    apply_taps,
    draw_moving_taps,
    draw_taps,
    frequency_response,
)

PROFILES = ("tdl-a", "tdl-b", "tdl-c")
MODELS = ("rayleigh", "rician", *PROFILES)


def power_db(values):
    return 10.0 * np.log10(np.mean(np.abs(values) ** 2))


def realisations(model, count):
    rng = np.random.default_rng(11)
    return np.array([draw_taps(rng, model).gains for _ in range(count)])


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_the_delay_spread_asked_for_and_power_one(name):
    model = FadingModel(name, delay_spread_s=250e-9)
    delays_s, powers = model.delays_s(), model.scattered_powers()
    mean_s = np.sum(powers * delays_s)
    assert np.sum(powers) == pytest.approx(1.0)
    assert np.sqrt(np.sum(powers * (delays_s - mean_s) ** 2)) == pytest.approx(250e-9, rel=1e-3)
    assert delays_s.min() == 0.0


@pytest.mark.parametrize(
    ("name", "taps", "longest"), [("tdl-a", 23, 9.6586), ("tdl-b", 23, 4.7834), ("tdl-c", 24, 8.6523)]
)
def test_a_profile_has_the_taps_of_the_standard(name, taps, longest):
    delays_s = FadingModel(name, delay_spread_s=1e-7).delays_s()
    assert len(delays_s) == taps
    assert delays_s.max() == pytest.approx(longest * 1e-7)


@pytest.mark.parametrize("name", ["rayleigh", *PROFILES])
def test_taps_are_independent_and_complex_gaussian(name):
    model = FadingModel(name)
    gains = realisations(model, 4000) / np.sqrt(model.scattered_powers())
    covariance = gains.conj().T @ gains / len(gains)
    assert np.max(np.abs(covariance - np.eye(gains.shape[1]))) < 0.08
    assert np.max(np.abs(np.mean(gains**2, axis=0))) < 0.08
    assert np.mean(np.abs(gains) ** 4) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("name", ["rayleigh", *PROFILES])
def test_every_subcarrier_fades_like_rayleigh(name):
    model, rng = FadingModel(name), np.random.default_rng(3)
    frequency_hz = np.array([-800e3, 10e3, 600e3])
    power = np.array([np.abs(frequency_response(draw_taps(rng, model), frequency_hz)) ** 2 for _ in range(4000)])
    assert np.mean(power, axis=0) == pytest.approx(1.0, abs=0.07)
    assert np.mean(power > 1.0, axis=0) == pytest.approx(np.exp(-1.0), abs=0.03)
    assert np.mean(power < 0.1, axis=0) == pytest.approx(1.0 - np.exp(-0.1), abs=0.02)


@pytest.mark.parametrize("doppler_hz", [0.0, 5.0])
def test_a_rician_channel_has_its_k_and_power_one(doppler_hz):
    model = FadingModel("rician", rician_k_db=6.0)
    draw = {0.0: draw_taps, 5.0: lambda rng, model: draw_moving_taps(rng, model, 5.0, 2.0)}[doppler_hz]
    rng = np.random.default_rng(5)
    power = np.array([np.abs(draw(rng, model).gains[0]) ** 2 for _ in range(6000)])
    k = 10.0**0.6
    assert power.mean() == pytest.approx(1.0, abs=0.02)
    assert power.var() == pytest.approx((1.0 + 2.0 * k) / (1.0 + k) ** 2, rel=0.08)


def test_deep_fades_are_redrawn_only_where_a_floor_is_given():
    rng = np.random.default_rng(9)
    floored = FadingModel("rayleigh", minimum_fade_db=-3.0)
    assert min(abs(draw_taps(rng, floored).gains[0]) ** 2 for _ in range(300)) >= 10.0**-0.3
    assert min(abs(draw_taps(rng, FadingModel("rayleigh")).gains[0]) ** 2 for _ in range(300)) < 0.1


@pytest.mark.parametrize("name", ["rayleigh", "tdl-c"])
def test_moving_taps_have_clarke_s_autocorrelation(name):
    model, doppler_hz = FadingModel(name), 3.0
    scale = np.sqrt(model.scattered_powers())
    seeds = range(4000 // len(scale))
    lags_s = np.array([0.0, 0.05, 0.1, 0.128, 0.2, 0.3])

    def at(time_s):
        return np.array(
            [draw_moving_taps(np.random.default_rng(s), model, doppler_hz, time_s).gains / scale for s in seeds]
        )

    start = at(7.0)
    measured = np.array([np.mean(at(7.0 + lag) * start.conj()) for lag in lags_s])
    assert np.max(np.abs(measured - j0(2.0 * np.pi * doppler_hz * lags_s))) < 0.07
    assert np.mean(np.abs(start) ** 4) == pytest.approx(2.0, abs=0.2)


def test_without_doppler_a_channel_stands_still():
    moments = [draw_moving_taps(np.random.default_rng(2), FadingModel("tdl-a"), 0.0, t).gains for t in (0.0, 1e4)]
    assert np.array_equal(*moments)


@given(
    name=st.sampled_from(MODELS),
    seed=st.integers(0, 2**16),
    sample_rate_hz=st.sampled_from([2e6, 4e6]),
    delay_spread_s=st.floats(1e-8, 1e-6),
)
@settings(max_examples=25)
def test_samples_see_the_exact_frequency_response(name, seed, sample_rate_hz, delay_spread_s):
    rng = np.random.default_rng(seed)
    taps = draw_taps(rng, FadingModel(name, delay_spread_s))
    frequency_hz = rng.uniform(-0.4375, 0.4375, 40) * sample_rate_hz
    amplitude = np.exp(2j * np.pi * rng.uniform(size=40)) / np.sqrt(40)
    waves = np.exp(2j * np.pi * np.outer(np.arange(3000), frequency_hz / sample_rate_hz))
    received = apply_taps((waves @ amplitude).astype(np.complex64), taps, sample_rate_hz)
    exact = waves @ (amplitude * frequency_response(taps, frequency_hz))
    assert received.dtype == np.complex64
    assert power_db((received - exact)[100:-100]) < -50.0


def test_echoes_come_after_their_pulse_and_none_wraps_around():
    pulse = np.zeros(400, np.complex64)
    pulse[300:341] = np.hanning(41)
    taps = Taps(np.array([0.0, 20e-6]), np.array([1.0 + 0j, 0.5j]))
    received = apply_taps(pulse, taps, 2e6)
    assert np.allclose(received[300:341], pulse[300:341], atol=1e-3)
    assert np.allclose(received[341:380], 0.5j * pulse[301:340], atol=1e-3)
    late = apply_taps(np.roll(pulse, 50), taps, 2e6)
    assert np.max(np.abs(late[:300])) < 1e-5


@pytest.mark.parametrize("name", PROFILES)
def test_echoes_beyond_the_prefix_are_refused_and_the_longest_possible_named(name):
    longest_s = FadingModel(name, 1e-6).longest_echo_s
    assert 4e-6 < longest_s <= LONGEST_ECHO_S
    with pytest.raises(ConfigurationError, match=rf"delay_spread_s = 2e-06: echoes of {name}.*at most"):
        FadingModel(name, 2e-6)


def test_an_unknown_model_is_refused_by_naming_those_there_are():
    with pytest.raises(ConfigurationError, match=r"no model 'tdl-z'.*rayleigh.*tdl-c"):
        FadingModel("tdl-z")
