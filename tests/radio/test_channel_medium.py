"""What the medium does to a burst: gain, carrier, clock, faults, noise, clipping."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from radio_lab import lab_experiment

from protocol.bursts import Window
from radio.channel import draws
from radio.channel.levels import RX_FULL_SCALE_DBM, noise_dbm, path_gain_db
from radio.channel.medium import clip, phasor, propagate, receive

WINDOW = Window("s", 4, 2, "data", 2**16)


def tone(frequency=0.1, power=1.0):
    """A burst of a tone, zeros around it."""
    samples = np.zeros(WINDOW.n_samples, np.complex64)
    n = np.arange(2000, WINDOW.n_samples - 2000)
    samples[n] = np.sqrt(power) * np.exp(2j * np.pi * frequency * n)
    return samples


def inside(samples):
    return samples[3000:-3000]


def slope(samples):
    """Frequency of a tone, cycles per sample."""
    turned = np.unwrap(np.angle(inside(samples).astype(np.complex128)))
    return np.polyfit(np.arange(len(turned)), turned, 1)[0] / (2 * np.pi)


@pytest.mark.parametrize("model", ["awgn", "rayleigh"])
def test_received_power_is_sent_power_times_path_gain_and_fade(model):
    experiment = lab_experiment((25.0,), channel={"model": model})
    received = propagate(experiment, WINDOW, "c0", tone())
    fade_db = 20.0 * np.log10(abs(draws.taps(experiment, WINDOW.round_index, "c0").gains[0]))
    gain_db = path_gain_db(experiment, experiment.member("c0"))
    received_dbm = 10.0 * np.log10(np.mean(np.abs(inside(received)) ** 2)) + RX_FULL_SCALE_DBM
    assert received_dbm == pytest.approx(experiment.radio.tx_power_dbm + gain_db + fade_db, abs=0.01)


def test_one_crystal_moves_carrier_and_clock():
    experiment = lab_experiment((25.0,), channel={"carrier_offset_ppm": 25.0})
    ppm = draws.offset_ppm(experiment, "c0")
    assert abs(ppm) > 1.0
    carrier_shift = ppm * 1e-6 * experiment.radio.carrier_hz / experiment.radio.sample_rate_hz
    for frequency in (-0.3, 0.4):
        measured = slope(propagate(experiment, WINDOW, "c0", tone(frequency)))
        assert measured == pytest.approx(frequency * (1.0 + ppm * 1e-6) + carrier_shift, abs=2e-8)


def test_the_burst_comes_late_by_less_than_a_sample_wherever_it_lies():
    experiment = lab_experiment((25.0,), channel={"carrier_offset_ppm": 0.0})
    pulse = np.zeros(WINDOW.n_samples, np.complex64)
    # A band-limited pulse, so that its centre of energy is its delay.
    pulse[40_000:40_201] = np.hanning(201)
    received = np.abs(propagate(experiment, WINDOW, "c0", pulse)) ** 2
    delay = np.sum(np.arange(len(received)) * received) / np.sum(received) - 40_100
    _, fraction = draws.phase_and_fraction(experiment, WINDOW, "c0")
    assert delay == pytest.approx(fraction, abs=5e-3)


def test_drift_is_counted_from_the_window_s_start():
    experiment = lab_experiment((25.0,), channel={"carrier_offset_ppm": 25.0})
    ppm = draws.offset_ppm(experiment, "c0")
    pulse = np.zeros(WINDOW.n_samples, np.complex64)
    pulse[60_000:60_201] = np.hanning(201)
    received = np.abs(propagate(experiment, WINDOW, "c0", pulse)) ** 2
    centre = np.sum(np.arange(len(received)) * received) / np.sum(received)
    _, fraction = draws.phase_and_fraction(experiment, WINDOW, "c0")
    assert centre == pytest.approx((60_100 + fraction) / (1.0 + ppm * 1e-6), abs=1e-2)


@pytest.mark.parametrize(("kind", "turned"), [("data", 0.3), ("sounding", 0.0), ("acquisition", 0.0)])
def test_the_fault_inverts_its_fraction_of_data_stretches_only(kind, turned):
    window = msgspec.structs.replace(WINDOW, kind=kind)
    plain = propagate(lab_experiment((25.0,)), window, "c0", tone())
    faulty = propagate(lab_experiment((25.0,), channel={"inverted_fraction": 0.3}), window, "c0", tone())
    against = inside((faulty * plain.conj()).real)
    assert np.mean(against < 0.0) == pytest.approx(turned, abs=0.08)


def test_a_silent_client_contributes_nothing():
    assert not propagate(lab_experiment((25.0,)), WINDOW, "c0", np.zeros(WINDOW.n_samples, np.complex64)).any()


def test_the_receiver_hears_thermal_noise_over_its_whole_band():
    experiment = lab_experiment()
    received, clipped = receive(experiment, WINDOW, {})
    power_dbm = 10.0 * np.log10(np.mean(np.abs(received) ** 2)) + RX_FULL_SCALE_DBM
    assert power_dbm == pytest.approx(noise_dbm(experiment, experiment.radio.sample_rate_hz), abs=0.1)
    assert clipped == 0


def test_a_client_too_close_is_clipped_and_counted():
    members = [{"name": "c0", "distance_m": 0.3}]
    experiment = lab_experiment(clients={"members": members})
    received, clipped = receive(experiment, WINDOW, {"c0": propagate(experiment, WINDOW, "c0", tone())})
    assert clipped > WINDOW.n_samples // 2
    assert np.max(np.abs(received.view(np.float32))) == 1.0


def test_clipping_counts_samples_not_parts():
    samples = np.array([0.5 + 0.5j, 2.0 - 2.0j, 0.1 + 3.0j], np.complex64)
    clipped, count = clip(samples, 1.0)
    assert count == 2
    assert np.allclose(clipped, [0.5 + 0.5j, 1.0 - 1.0j, 0.1 + 1.0j])


def test_the_phasor_is_the_complex_exponential():
    n = np.arange(5000)
    expected = (0.5 + 1j) * np.exp(2j * np.pi * 0.0123456 * (777 + n))
    assert np.max(np.abs(phasor(5000, 0.0123456, 777, 0.5 + 1j) - expected)) < 1e-5
