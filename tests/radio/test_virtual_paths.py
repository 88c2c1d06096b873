"""Paths and clocks of the medium against the channel model: moving taps, drifting and other rates."""

import numpy as np
import pytest

from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, Taps, apply_taps, draw_moving_taps, draw_taps
from radio.channel.resampling import resample
from radio.virtual.interpolation import at_other_rate, drifting, reach_at_other_rate, span
from radio.virtual.paths import Path


def test_taps_of_a_still_path_do_not_depend_on_the_direction():
    model = FadingModel("tdl-a")
    taps = [Path(1, ends, 0.0, 0.0, model).response(0.0, 1e5) for ends in (("x", "y"), ("y", "x"))]
    assert taps[0] == taps[1]
    assert isinstance(draw_taps(np.random.default_rng(1), model), Taps)


@pytest.mark.parametrize("name", ["rayleigh", "rician", "tdl-b"])
def test_a_moving_path_is_the_channel_model_s_at_every_time_however_it_is_cut(name):
    model, rate_hz, doppler_hz, begin_s = FadingModel(name, 300e-9), 2e6, 80.0, 3.21
    path = Path(9, ("x", "y"), 60.0, 0.0, model)
    path.set_doppler(doppler_hz)
    rng = np.random.default_rng(3)
    samples = band_limited(rng, 9000)
    before, after = path.margins(rate_hz)
    whole = path.apply(samples, rate_hz, begin_s)
    n = len(whole)
    halves = [
        path.apply(samples[: 4000 + before + after], rate_hz, begin_s),
        path.apply(samples[4000:], rate_hz, begin_s + 4000 / rate_hz),
    ]
    np.testing.assert_allclose(np.concatenate(halves), whole, atol=1e-5)
    for place in (0, n // 3, n - 1):
        rng_taps = random_stream(9, "virtual fade", "x", "y", 0)
        taps = draw_moving_taps(rng_taps, model, doppler_hz, begin_s + place / rate_hz)
        exact = apply_taps(samples, taps, rate_hz)[before + place]
        assert abs(whole[place] - exact) < 0.02


def band_limited(rng, n):
    """Noise in 0.9 of the band, unit power."""
    spectrum = np.fft.fft(rng.standard_normal(n) + 1j * rng.standard_normal(n))
    spectrum[np.abs(np.fft.fftfreq(n)) > 0.44] = 0.0
    samples = np.fft.ifft(spectrum).astype(np.complex64)
    return samples / np.float32(np.std(samples))


@pytest.mark.parametrize("drift", [0.0, 5e-6, -40e-6, 200e-6])
@pytest.mark.parametrize("start", [0.0, 0.37, 3.9])
def test_streams_are_read_as_the_simulated_channel_resamples(drift, start):
    samples = band_limited(np.random.default_rng(1), 5000)
    expected = resample(samples, drift, start)
    first, count = span(start, drift, 5000)
    padded = np.concatenate([np.zeros(500, np.complex64), samples, np.zeros(500, np.complex64)])
    values = drifting(padded[500 + first : 500 + first + count], first, start, drift, 5000)
    assert np.mean(np.abs(values - expected) ** 2) < 1e-7


@pytest.mark.parametrize("ratio", [0.4, 1.7, 8.0])
def test_other_rates_keep_the_band_that_both_have(ratio):
    index = np.arange(-600, int(700 * ratio) + 600)
    for cycles, heard in ((0.3 / max(1.0, ratio), True), (0.62 / ratio, False)):
        if cycles > 0.5:
            continue
        tone = np.exp(2j * np.pi * cycles * index).astype(np.complex64)
        values = at_other_rate(tone, -600, 2.3, ratio, 700)
        expected = np.exp(2j * np.pi * cycles * (2.3 + ratio * np.arange(700))) if heard else 0.0
        assert np.mean(np.abs(values - expected) ** 2) < 1e-6
    assert reach_at_other_rate(ratio) < 600
