"""Levels of image, LO leakage, DC and quantisation, measured."""

from __future__ import annotations

import numpy as np
import pytest

from radio.channel.impairments import (
    PLUTO,
    STRETCH_SAMPLES,
    HardwareImpairments,
    draw_phases,
    impair_reception,
    impair_transmission,
    quantise,
    strongest_rms,
    with_image,
)
from radio.channel.levels import TX_PEAK_AMPLITUDE

N = 2**15
TONE = 3001 / N
PHASES = draw_phases(np.random.default_rng(1))


def tone(power=1.0):
    return (np.sqrt(power) * np.exp(2j * np.pi * TONE * np.arange(N))).astype(np.complex64)


def gaussian(power=1.0, n=N):
    rng = np.random.default_rng(4)
    return np.sqrt(0.5 * power) * (rng.standard_normal(n) + 1j * rng.standard_normal(n)).astype(np.complex64)


def line_db(samples, frequency):
    """Power of a spectral line, dB; the frequency is a whole number of cycles in N samples."""
    return 20.0 * np.log10(np.abs(np.mean(samples * np.exp(-2j * np.pi * frequency * np.arange(N)))))


def power_db(samples):
    return 10.0 * np.log10(np.mean(np.abs(samples) ** 2))


@pytest.mark.parametrize("image_db", [-45.0, -30.0])
def test_an_image_mirrors_the_signal_at_its_level(image_db):
    received = with_image(tone(), image_db, 0.7)
    assert line_db(received, -TONE) == pytest.approx(image_db, abs=0.1)
    assert line_db(received, TONE) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("gain_db", [0.0, -20.0])
def test_a_transmitter_s_image_follows_its_power_and_its_leakage_does_not(gain_db):
    sent = impair_transmission(tone(10.0 ** (gain_db / 10.0)), PLUTO, PHASES, TX_PEAK_AMPLITUDE)
    assert line_db(sent, TONE) == pytest.approx(gain_db, abs=0.05)
    assert line_db(sent, -TONE) == pytest.approx(gain_db - 45.0, abs=0.3)
    assert line_db(sent, 0.0) == pytest.approx(-40.0, abs=0.1)


def test_a_transmitter_is_off_outside_its_burst():
    burst = tone()
    burst[:5000] = burst[-5000:] = 0.0
    sent = impair_transmission(burst, PLUTO, PHASES, TX_PEAK_AMPLITUDE)
    assert not sent[:5000].any()
    assert not sent[-5000:].any()
    assert power_db(sent[5000:-5000] - burst[5000:-5000]) == pytest.approx(-38.8, abs=0.2)
    assert not impair_transmission(np.zeros(100, np.complex64), PLUTO, PHASES, TX_PEAK_AMPLITUDE).any()


@pytest.mark.parametrize("bits", [8, 12])
def test_quantisation_of_a_full_scale_tone_has_the_textbook_snr(bits):
    samples = 0.99 * np.exp(2j * np.pi * 0.1234567 * np.arange(N)).astype(np.complex64)
    quantised, clipped = quantise(samples, 1.0, bits)
    assert power_db(samples) - power_db(quantised - samples) == pytest.approx(6.02 * bits + 1.76, abs=0.3)
    assert clipped == 0


def test_quantised_samples_lie_on_their_levels_and_zero_is_one():
    quantised, _ = quantise(gaussian(0.05), 1.0, 4)
    levels = np.unique(quantised.view(np.float32)) * 8
    assert np.array_equal(levels, np.rint(levels))
    assert 0.0 in levels
    assert levels.min() >= -8
    assert levels.max() <= 7


def test_quantisation_counts_clipped_samples_not_parts():
    samples = np.array([0.5 + 0.5j, 2.0 - 2.0j, 0.1 + 3.0j], np.complex64)
    quantised, clipped = quantise(samples, 1.0, 12)
    assert clipped == 2
    assert np.allclose(quantised, [0.5 + 0.5j, 1.0 - 1.0j, 0.1 + 1.0j], atol=1e-3)


def test_a_receiver_s_image_and_dc_lie_at_their_levels():
    received, clipped = impair_reception(tone(1e-3), PLUTO, PHASES, 1.0)
    assert clipped == 0
    assert line_db(received, TONE) == pytest.approx(-30.0, abs=0.05)
    assert line_db(received, -TONE) == pytest.approx(-75.0, abs=0.2)
    assert line_db(received, 0.0) == pytest.approx(-70.0, abs=0.2)


def test_the_receiving_converter_s_noise_lies_below_the_strongest_stretch():
    clean = HardwareImpairments(receive_image_db=-300.0, receive_dc_db=-300.0)
    samples = gaussian(1e-6)
    samples[: N // 2] *= np.float32(100.0)
    received, clipped = impair_reception(samples, clean, PHASES, 1.0)
    assert clipped == 0
    # Full-scale SNR of a complex signal, 6.02 bits + 1.76 dB, less the headroom over the strongest stretch.
    expected_db = 20.0 * np.log10(strongest_rms(samples)) + 12.0 - (6.02 * 12 + 1.76)
    assert power_db(received - samples) == pytest.approx(expected_db, abs=0.3)


def test_the_receiver_s_gain_follows_the_window():
    weak, _ = impair_reception(gaussian(1e-4), PLUTO, PHASES, 1.0)
    weaker, _ = impair_reception(gaussian(1e-4) / np.float32(16.0), PLUTO, PHASES, 1.0)
    assert np.array_equal(weaker * np.float32(16.0), weak)


def test_beyond_full_scale_the_receiver_clips_and_counts():
    received, clipped = impair_reception(gaussian(4.0), PLUTO, PHASES, 1.0)
    assert clipped > N // 3
    assert np.max(np.abs(received.view(np.float32))) == 1.0
    silence, none = impair_reception(np.zeros(100, np.complex64), PLUTO, PHASES, 1.0)
    assert not silence.any()
    assert none == 0


def test_the_strongest_stretch_is_found_wherever_it_lies():
    samples = np.full(5 * STRETCH_SAMPLES + 100, 0.1, np.complex64)
    samples[3 * STRETCH_SAMPLES : 4 * STRETCH_SAMPLES] = 2.0
    assert strongest_rms(samples) == pytest.approx(2.0)
    assert strongest_rms(samples[:10]) == pytest.approx(0.1)


def test_phases_are_drawn_anew_for_each_radio():
    rng = np.random.default_rng(8)
    assert len({draw_phases(rng) for _ in range(5)}) == 5
