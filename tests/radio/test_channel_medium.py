"""What the medium does to a burst: gain, carrier, clock, faults, noise, clipping."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from radio_lab import lab_experiment

from base_station.channel import barred_rbs
from protocol.bursts import Window
from protocol.errors import ConfigurationError
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import RX_FULL_SCALE_DBM, noise_dbm, path_gain_db
from radio.channel.medium import clip, phasor, propagate, receive
from radio.drivers import open_base_station_radio
from radio.modem import measure_silence
from radio.numerology import numerology_at

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


@pytest.mark.parametrize("impairments", ["none", "pluto"])
def test_a_silent_client_contributes_nothing(impairments):
    experiment = lab_experiment((25.0,), channel={"impairments": impairments})
    assert not propagate(experiment, WINDOW, "c0", np.zeros(WINDOW.n_samples, np.complex64)).any()


@pytest.mark.parametrize("sample_rate_hz", [2e6, 4e6])
def test_each_frequency_on_the_air_has_its_own_gain(sample_rate_hz):
    channel = {"model": "tdl-c", "delay_spread_s": 1e-6, "carrier_offset_ppm": 25.0}
    experiment = lab_experiment((25.0,), radio={"sample_rate_hz": sample_rate_hz}, channel=channel)
    flat = lab_experiment((25.0,), radio={"sample_rate_hz": sample_rate_hz}, channel={**channel, "model": "awgn"})
    cfo_hz = draws.offset_ppm(experiment, "c0") * 1e-6 * experiment.radio.carrier_hz
    taps = draws.taps(experiment, WINDOW.round_index, "c0")
    for frequency in (-0.4, -0.1, 0.3):
        faded, plain = (inside(propagate(e, WINDOW, "c0", tone(frequency))) for e in (experiment, flat))
        gain = np.vdot(plain, faded) / np.vdot(plain, plain)
        expected = frequency_response(taps, np.array([frequency * sample_rate_hz + cfo_hz]))[0]
        assert gain == pytest.approx(expected, abs=5e-3)


def test_nothing_of_a_burst_s_echoes_is_cut():
    channel = {"model": "tdl-c", "delay_spread_s": 1e-6, "carrier_offset_ppm": 0.0}
    experiment = lab_experiment((25.0,), radio={"sample_rate_hz": 4e6}, channel=channel)
    first, second = tone(), tone()
    first[30_000:] = second[:30_000] = 0.0
    together = propagate(experiment, WINDOW, "c0", tone())
    apart = [propagate(experiment, WINDOW, "c0", half) for half in (first, second)]
    assert np.max(np.abs(apart[0] + apart[1] - together)) < 1e-3 * np.max(np.abs(together))


def test_a_transmitter_leaks_at_its_own_carrier():
    channel = {"impairments": "pluto", "carrier_offset_ppm": 25.0}
    experiment = lab_experiment((25.0,), channel=channel)
    clean = lab_experiment((25.0,), channel={**channel, "impairments": "none"})
    leak = propagate(experiment, WINDOW, "c0", tone()) - propagate(clean, WINDOW, "c0", tone())
    cfo = draws.offset_ppm(experiment, "c0") * 1e-6 * experiment.radio.carrier_hz / experiment.radio.sample_rate_hz
    power = np.abs(np.fft.fft(leak * np.hanning(len(leak)))) ** 2
    assert np.fft.fftfreq(len(leak))[np.argmax(power)] == pytest.approx(cfo, abs=2e-5)


def test_every_radio_has_phases_of_its_own():
    experiment = lab_experiment((25.0, 25.0))
    names = ("c0", "c1", draws.BASE_STATION)
    assert len({draws.hardware_phases(experiment, name) for name in names}) == 3
    assert draws.hardware_phases(experiment, "c0") == draws.hardware_phases(experiment, "c0")


@pytest.mark.parametrize(("rb_start", "rb_count", "sample_rate_hz"), [(5, 1, 2e6), (13, 3, 2e6), (50, 2, 4e6)])
def test_a_jammer_fills_its_blocks_and_no_others(rb_start, rb_count, sample_rate_hz):
    channel = {"jammer_rb": rb_start, "jammer_rb_count": rb_count, "jammer_db": 20.0}
    experiment = lab_experiment(radio={"sample_rate_hz": sample_rate_hz}, channel=channel)
    window = msgspec.structs.replace(WINDOW, kind="silent", n_samples=50_000)
    numerology = numerology_at(sample_rate_hz)
    received, _ = receive(experiment, window, {})
    measured_db = np.array(measure_silence(received, numerology)[0])
    expected_db = np.full(numerology.rb_total, noise_dbm(experiment, numerology.rb_bandwidth_hz) - RX_FULL_SCALE_DBM)
    jammed = np.arange(rb_start, rb_start + rb_count)
    expected_db[jammed] += 10.0 * np.log10(1.0 + 100.0)
    # The measurement's window lets a little of the next subcarrier through.
    beside = np.isin(np.arange(numerology.rb_total), [rb_start - 1, rb_start + rb_count])
    assert np.max(np.abs(measured_db - expected_db)[~beside]) < 1.0
    assert barred_rbs(measured_db.tolist(), experiment.radio.barred_interference_db) == jammed.tolist()


def test_a_jammer_is_new_in_every_window_and_the_same_when_repeated():
    experiment = lab_experiment(channel={"jammer_rb": 4})
    plain = receive(lab_experiment(), WINDOW, {})[0]
    first, again = (receive(experiment, WINDOW, {})[0] for _ in range(2))
    assert np.array_equal(first, again)
    other = msgspec.structs.replace(WINDOW, index=9)
    difference = receive(experiment, other, {})[0] - receive(lab_experiment(), other, {})[0]
    assert abs(np.vdot(first - plain, difference)) < 0.2 * np.vdot(difference, difference).real


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        ({"jammer_rb": 27, "jammer_rb_count": 2}, "channel.jammer_rb = 27 .* leaves the band of 28 RBs"),
        ({"model": "tdl-a", "delay_spread_s": 3e-6}, "channel.delay_spread_s = 3e-06"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_before_a_radio_opens(channel, reason):
    with pytest.raises(ConfigurationError, match=reason):
        open_base_station_radio(lab_experiment(channel=channel))


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
