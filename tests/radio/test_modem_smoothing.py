"""The LMMSE channel estimate against the plain dense formula, and what it leaves of the noise."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, Taps, apply_taps, draw_taps, frequency_response
from radio.modem.channel_estimate import LATEST_DELAY_S, SPREADS_S, mean_delay, rb_noise, smooth_channel
from radio.modem.layout import burst_layout
from radio.modem.ofdm import demodulate_grid
from radio.modem.shaping import receive_gain, transmit_gain
from radio.modem.transmitter import modulate
from radio.modem.trial import branch, random_blocks, transmitted
from radio.numerology import DEFAULT_2MSPS

SPACING_HZ = 7812.5


def burst_of(rb_count, rb_start=2):
    return DataBurst(
        client="a", burst_id=1, rb_start=rb_start, rb_count=rb_count, mcs="qpsk-1/2", block_ids=list(range(4))
    )


def layout_of(rb_count):
    return burst_layout(burst_of(rb_count, rb_start=0), DEFAULT_2MSPS)


def complex_noise(rng, n):
    return (rng.standard_normal(n) + 1j * rng.standard_normal(n)) / np.sqrt(2)


def channel_of(rng, model, delay_spread_s, layout):
    """A realisation on the loaded subcarriers, its timing off by less than a sample."""
    taps = (
        Taps(np.zeros(1), complex_noise(rng, 1)) if model == "flat" else draw_taps(rng, model_of(model, delay_spread_s))
    )
    late_s = rng.uniform(-0.4e-6, 0.4e-6)
    frequency_hz = SPACING_HZ * layout.subcarriers
    return frequency_response(taps, frequency_hz) * np.exp(-2j * np.pi * frequency_hz * late_s)


def model_of(model, delay_spread_s):
    return FadingModel(model, delay_spread_s)


def dense_estimates(raw, error, layout):
    """Textbook LMMSE with the covariance of a continuous exponential profile, cut at seven spreads.

    Of each spread its log-likelihood and the estimate.
    """
    turn = np.exp(2j * np.pi * mean_delay(raw, error, layout) / layout.fft_size * layout.subcarriers)
    aligned, weight = raw * turn, 1.0 / error
    power = max((np.sum(np.abs(raw) ** 2 * weight) - len(raw)) / np.sum(weight), 0.05 / np.mean(weight))
    apart = 2.0 * np.pi * SPACING_HZ * np.subtract.outer(layout.subcarriers, layout.subcarriers)
    found = []
    for spread_s in SPREADS_S:
        last = min(7.0, LATEST_DELAY_S / spread_s)
        cut = (1.0 - np.exp(-last * (1.0 + 1j * apart * spread_s))) / (1.0 - np.exp(-last))
        covariance = power * cut * np.exp(1j * apart * spread_s) / (1.0 + 1j * apart * spread_s)
        total = covariance + np.diag(error)
        weighted = np.linalg.solve(total, aligned)
        likelihood = -np.vdot(aligned, weighted).real - np.linalg.slogdet(total)[1]
        found.append((likelihood, covariance @ weighted / turn))
    return found


@settings(max_examples=20, deadline=None)
@example(1, 28, "tdl-c", 20.0)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 3, 7, 12]),
    st.sampled_from(["flat", "tdl-a", "tdl-c"]),
    st.floats(0.0, 30.0),
)
def test_the_estimate_is_the_dense_lmmse_one(seed, rb_count, model, snr_db):
    layout, rng = layout_of(rb_count), random_stream(seed, "dense")
    truth = channel_of(rng, model, 3e-7, layout)
    # One RB hears more noise than the others.
    error = 10.0 ** (-snr_db / 10.0) * np.where(layout.rb_of_subcarrier == 0, 4.0, 1.0) * np.mean(np.abs(truth) ** 2)
    raw = (truth + np.sqrt(error) * complex_noise(rng, len(truth))).astype(np.complex64)
    estimate = smooth_channel(raw, error, layout)
    dense = dense_estimates(raw, error, layout)
    likeliest = max(likelihood for likelihood, _ in dense)
    # Spreads that explain the raw estimate equally well are equally right.
    candidates = [channel for likelihood, channel in dense if likelihood > likeliest - 1.0]
    assert min(np.mean(np.abs(estimate - channel) ** 2 / error) for channel in candidates) < 0.05


@pytest.mark.parametrize(
    ("model", "delay_spread_s", "most"),
    [("flat", 0.0, 2.5), ("tdl-a", 1e-7, 6.0), ("tdl-a", 3e-7, 10.0), ("tdl-b", 1e-6, 22.0), ("tdl-c", 1e-6, 20.0)],
)
def test_little_of_the_noise_is_left_and_the_less_the_flatter_the_channel(model, delay_spread_s, most):
    layout, rng = layout_of(16), random_stream(1, "left", model)
    left = []
    for snr_db in (5.0, 15.0, 25.0):
        for _ in range(12):
            truth = channel_of(rng, model, delay_spread_s, layout)
            error = np.full(len(truth), 10.0 ** (-snr_db / 10.0) / 4.0)
            raw = (truth + np.sqrt(error) * complex_noise(rng, len(truth))).astype(np.complex64)
            left.append(np.sum(np.abs(smooth_channel(raw, error, layout) - truth) ** 2 / error))
    # Of 125 subcarriers' noise, that of so many.
    assert np.mean(left) < most


def test_a_jammed_resource_block_does_not_spoil_the_others():
    layout, rng = layout_of(16), random_stream(2, "jammed")
    jammed = layout.rb_of_subcarrier == 5
    left = {1.0: [], 1e3: []}
    for _ in range(20):
        truth = channel_of(rng, "tdl-a", 3e-7, layout)
        noise = complex_noise(rng, len(truth))
        for factor, errors in left.items():
            error = np.where(jammed, factor, 1.0) * 1e-2
            raw = (truth + np.sqrt(error) * noise).astype(np.complex64)
            errors.append(np.sum(np.abs(smooth_channel(raw, error, layout) - truth)[~jammed] ** 2))
    assert np.mean(left[1e3]) < 1.5 * np.mean(left[1.0])


@pytest.mark.parametrize(("model", "delay_spread_s"), [("tdl-a", 3e-7), ("tdl-b", 1e-6), ("tdl-c", 1e-6)])
def test_echoes_within_the_prefix_leave_little_error(model, delay_spread_s):
    burst, rng = burst_of(16), random_stream(3, "echoes", model)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    blocks = random_blocks(rng, burst)
    stream = transmitted(burst, blocks, DEFAULT_2MSPS, 1500.0)
    gains = transmit_gain(layout) * receive_gain(layout, 0.0)
    sent = demodulate_grid(modulate(burst, blocks, DEFAULT_2MSPS), layout, 0.0, layout.symbols) * gains
    floor = []
    for _ in range(6):
        taps = draw_taps(rng, model_of(model, delay_spread_s))
        received = branch(burst, apply_taps(stream, taps, 2e6), DEFAULT_2MSPS)
        energy = np.abs(taps.gains) ** 2
        start = 1500.0 + 2e6 * float(energy @ taps.delays_s / energy.sum())
        grid = demodulate_grid(received, layout, start, layout.symbols)
        gain = np.sum(grid * np.conj(sent), axis=0) / np.sum(np.abs(sent) ** 2, axis=0)
        floor.append(np.mean(np.abs(grid - gain * sent) ** 2) / np.mean(np.abs(gain * sent) ** 2))
    assert 10.0 * np.log10(np.mean(floor)) < -40.0


def noise_of(rng, layout, level, freedom):
    """Estimates from so many complex degrees of freedom per subcarrier, the true ``level`` one per RB."""
    parts = complex_noise(rng, freedom * len(layout.subcarriers)).reshape(freedom, -1)
    residual = np.sum(np.abs(parts) ** 2, axis=0) * np.asarray(level)[layout.rb_of_subcarrier]
    return rb_noise(residual, np.full(len(layout.subcarriers), freedom), layout)


@pytest.mark.parametrize("freedom", [1, 3, 11])
def test_even_noise_is_told_better_than_an_rb_alone_could(freedom):
    layout, rng = layout_of(16), random_stream(4, "even", freedom)
    errors_db = [10 * np.log10(noise_of(rng, layout, np.full(16, 0.3), freedom) / 0.3) for _ in range(100)]
    alone_db = 4.34 / np.sqrt(8.0 * freedom)
    assert np.sqrt(np.mean(np.square(errors_db))) < 0.5 * alone_db
    assert abs(np.mean(errors_db)) < 0.05


@pytest.mark.parametrize("freedom", [1, 3, 11])
def test_a_jammed_rb_keeps_its_own_noise_and_leaves_that_of_the_others_alone(freedom):
    layout, rng = layout_of(16), random_stream(5, "own", freedom)
    level = np.where(np.arange(16) == 11, 100.0, 1.0)
    errors_db = np.array([10 * np.log10(noise_of(rng, layout, level, freedom) / level) for _ in range(50)])
    assert abs(np.mean(errors_db[:, 11])) < 0.6
    assert np.sqrt(np.mean(np.delete(errors_db, 11, axis=1) ** 2)) < 0.5 * 4.34 / np.sqrt(8.0 * freedom)


def test_noise_that_differs_all_over_stays_different():
    layout, rng = layout_of(28), random_stream(6, "uneven")
    level = 10.0 ** (0.1 * rng.uniform(-6.0, 6.0, 28))
    found = np.mean([noise_of(rng, layout, level, 8) for _ in range(20)], axis=0)
    np.testing.assert_allclose(10 * np.log10(found / level), 0.0, atol=0.7)


def test_one_rb_has_its_own_noise():
    layout, rng = layout_of(1), random_stream(7, "one")
    assert np.mean([noise_of(rng, layout, [0.2], 8) for _ in range(50)]) == pytest.approx(0.2, rel=0.05)


def test_two_rbs_of_different_noise_both_keep_it():
    layout, rng = layout_of(2), random_stream(8, "two")
    found = np.mean([noise_of(rng, layout, [1.0, 100.0], 8) for _ in range(50)], axis=0)
    np.testing.assert_allclose(10 * np.log10(found), [0.0, 20.0], atol=0.5)


def test_errors_far_below_the_signal_do_not_move_the_delay():
    layout, rng = layout_of(28), random_stream(9, "delay and errors")
    for _ in range(20):
        truth = channel_of(rng, "tdl-c", 1e-6, layout).astype(np.complex64)
        # Interference between symbols follows the channel: RBs in a fade seem to be the best known.
        power = np.bincount(layout.rb_of_subcarrier, np.abs(truth) ** 2) / np.bincount(layout.rb_of_subcarrier)
        uneven = 1e-4 * power[layout.rb_of_subcarrier] ** 2
        even = mean_delay(truth, np.full(len(truth), 1e-4), layout)
        assert mean_delay(truth, uneven, layout) == pytest.approx(even, abs=0.1)
