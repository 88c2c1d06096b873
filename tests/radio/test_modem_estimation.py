"""The estimators alone, on grids whose truth is known."""

import numpy as np
import pytest

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.modem.channel_estimate import mean_delay, slope_reach_of, smooth_channel, training_offsets
from radio.modem.layout import burst_layout
from radio.modem.ofdm import demodulate_grid, modulate_grid
from radio.modem.sequences import training_grid
from radio.modem.shaping import receive_gain
from radio.modem.tracking import KnownElements, search_clock_drift, track_clock_drift, track_phase
from radio.numerology import DEFAULT_2MSPS


def layout_of(rb_count, blocks=4):
    return burst_layout(
        DataBurst(client="a", burst_id=1, rb_start=0, rb_count=rb_count, mcs="qpsk-1/2", block_ids=list(range(blocks))),
        DEFAULT_2MSPS,
    )


def complex_noise(rng, shape, power):
    return np.sqrt(power / 2) * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))


def noisy_pilots(rng, received, layout):
    noisy = (received + complex_noise(rng, received.shape, 0.1)).astype(np.complex64)
    is_pilot = layout.pilot_mask()
    return KnownElements.of(noisy, is_pilot, np.ones(np.count_nonzero(is_pilot), np.complex64))


def echoes(subcarriers):
    """A two-path channel, 0 and 4 samples late, of unit mean power."""
    return (0.8 + 0.6j * np.exp(-2j * np.pi * 4.0 * subcarriers / 256)).astype(np.complex64)


@pytest.mark.parametrize("rb_count", [1, 7, 28])
def test_a_grid_survives_modulation(rb_count):
    layout = layout_of(rb_count)
    grid = training_grid(3, layout)
    samples = np.concatenate([np.zeros(50), modulate_grid(grid, layout)]).astype(np.complex64)
    back = demodulate_grid(samples, layout, 50, len(grid)) * np.sqrt(len(layout.subcarriers))
    back *= receive_gain(layout, 0.0)
    np.testing.assert_allclose(back, grid, atol=1e-5)


def test_smoothing_takes_noise_off_a_wide_channel_estimate():
    layout, rng = layout_of(28), random_stream(1, "smoothing")
    truth = echoes(layout.subcarriers)
    raw = (truth + complex_noise(rng, truth.shape, 0.1)).astype(np.complex64)
    error = np.mean(np.abs(smooth_channel(raw, np.full(len(raw), 0.1), layout) - truth) ** 2)
    assert error < 0.2 * np.mean(np.abs(raw - truth) ** 2)


def test_smoothing_leaves_a_clean_estimate_alone():
    layout = layout_of(28)
    truth = echoes(layout.subcarriers)
    np.testing.assert_allclose(smooth_channel(truth, np.full(len(truth), 1e-6), layout), truth, atol=5e-3)


def test_training_tells_carrier_and_clock_offset_without_knowing_the_channel():
    layout, rng = layout_of(28), random_stream(2, "training offsets")
    phase_step, slope_step = 0.7, 0.6 * slope_reach_of(layout)
    turn = np.exp(1j * np.arange(12)[:, None] * (phase_step + slope_step * layout.subcarriers))
    observed = echoes(layout.subcarriers) * turn
    noisy = (observed + complex_noise(rng, observed.shape, 0.1)).astype(np.complex64)
    offsets = training_offsets(noisy, layout, slope_reach_of(layout))
    assert offsets.phase_step == pytest.approx(phase_step, abs=2e-3)
    assert offsets.slope_step == pytest.approx(slope_step, abs=0.15 * slope_reach_of(layout))


def test_the_delay_of_a_channel_is_its_phase_slope():
    layout = layout_of(28)
    channel = np.exp(-2j * np.pi * 2.75 * layout.subcarriers / 256).astype(np.complex64)
    assert mean_delay(channel, np.full(len(channel), 1e-6), layout) == pytest.approx(2.75, abs=1e-3)


@pytest.mark.parametrize(("rb_count", "error"), [(28, 0.1), (7, 0.1), (1, 0.3)])
def test_the_delay_of_a_weak_channel_is_found_too(rb_count, error):
    layout, rng = layout_of(rb_count), random_stream(6, "weak delay", rb_count)
    errors = []
    for _ in range(50):
        delay = rng.uniform(-0.5, 0.5)
        channel = np.exp(-2j * np.pi * delay * layout.subcarriers / layout.fft_size)
        noise = np.full(len(channel), 1.0 / layout.training_symbols)
        noisy = channel + complex_noise(rng, channel.shape, noise)
        errors.append(mean_delay(noisy.astype(np.complex64), noise, layout) - delay)
    # In full-band samples; at 0 dB, after training.
    assert layout.decimation * np.std(errors) < 5.0 * error


@pytest.mark.parametrize("drift_samples", [-13.1, -2.2, 0.3, 1.7, 12.9])
def test_clock_drift_is_read_from_pilots(drift_samples):
    layout, rng = layout_of(28, blocks=40), random_stream(3, "drift", str(drift_samples))
    symbols = layout.data_symbols
    slope = 2.0 * np.pi * drift_samples / (256 * symbols)
    channel = echoes(layout.subcarriers)
    received = channel * np.exp(1j * slope * np.arange(symbols)[:, None] * layout.subcarriers)
    # A carrier offset that two weak training symbols leave.
    received *= np.exp(0.2j * np.arange(symbols))[:, None]
    known = noisy_pilots(rng, received, layout)
    found = search_clock_drift(known, channel, layout.subcarriers, 2.0 * np.pi * 15.0 / (256 * symbols))
    lever = known.symbol * layout.subcarriers[known.column]
    straight = known.turned(-found * lever)
    phase = track_phase(straight, channel, 10.0)
    found += track_clock_drift(straight.turned(-phase[known.symbol]), channel, layout.subcarriers, 0.0)
    assert found == pytest.approx(slope, abs=2.0 * np.pi * 0.02 / (256 * symbols))


@pytest.mark.parametrize("rb_count", [1, 28])
def test_a_wandering_phase_is_followed(rb_count):
    layout, rng = layout_of(rb_count, blocks=3 * rb_count), random_stream(4, "phase", rb_count)
    symbols = layout.data_symbols
    time = np.arange(symbols) / symbols
    phase = 0.11 * np.arange(symbols) + 0.5 * np.sin(2.0 * np.pi * time)
    channel = echoes(layout.subcarriers)
    received = channel * np.exp(1j * phase)[:, None]
    error = track_phase(noisy_pilots(rng, received, layout), channel, 10.0) - phase
    assert np.sqrt(np.mean((error - 2.0 * np.pi * np.round(np.mean(error) / 2.0 / np.pi)) ** 2)) < 0.12


def test_training_has_lower_peaks_than_random_symbols():
    layout = layout_of(28)
    rng = random_stream(5, "random symbols")
    random_grid = np.exp(0.5j * np.pi * rng.integers(0, 4, (200, len(layout.subcarriers)))).astype(np.complex64)
    training = np.concatenate([training_grid(burst_id, layout) for burst_id in range(20)])
    assert np.mean(symbol_peaks(training, layout)) < np.quantile(symbol_peaks(random_grid, layout), 0.2)


def symbol_peaks(grid, layout):
    return np.max(np.abs(modulate_grid(grid, layout).reshape(len(grid), -1)), axis=1)
