import numpy as np
import pytest
from radio_lab import random_impairments

from protocol.bursts import SoundingBurst
from protocol.random_streams import random_stream
from radio.channel.fading import Taps, apply_taps, frequency_response
from radio.channel.jammer import jammer
from radio.channel.medium import phasor
from radio.modem import measure_silence, receive, spectrum
from radio.modem.trial import Impairments, noise_power, send, white_noise
from radio.numerology import DEFAULT_2MSPS


def sounding(burst_id, rb_start=0, rb_count=28, acquisition=False):
    return SoundingBurst(client="a", burst_id=burst_id, rb_start=rb_start, rb_count=rb_count, acquisition=acquisition)


def test_sinr_per_resource_block_is_good_to_one_db_at_5_db():
    rng = random_stream(1, "sounding accuracy")
    gain_error, sinr_error = [], []
    for burst_id in range(12):
        burst = sounding(burst_id)
        impairments = random_impairments(rng, 5.0, 9.9e3, float(rng.uniform(-50, 50)))
        report = receive(burst, send(rng, burst, [], impairments, DEFAULT_2MSPS), DEFAULT_2MSPS)
        gain_error += report.gain_db
        sinr_error += list(np.array(report.sinr_db) - 5.0)
    assert np.sqrt(np.mean(np.square(sinr_error))) <= 1.0
    assert np.sqrt(np.mean(np.square(gain_error))) <= 0.6
    assert abs(np.mean(sinr_error)) < 0.2


@pytest.mark.parametrize("cfo_hz", [-120e3, -61e3, 0.0, 119e3])
@pytest.mark.parametrize(("rb_start", "rb_count"), [(6, 16), (12, 4)])
def test_acquisition_finds_a_carrier_50_ppm_off(rb_start, rb_count, cfo_hz):
    rng = random_stream(2, "acquisition", rb_count, str(cfo_hz))
    burst = sounding(31, rb_start, rb_count, acquisition=True)
    impairments = Impairments(snr_db=8.0, cfo_hz=cfo_hz, clock_ppm=cfo_hz / 2.4e3, start=2345.6)
    report = receive(burst, send(rng, burst, [], impairments, DEFAULT_2MSPS), DEFAULT_2MSPS)
    assert report.detected
    assert report.cfo_hz == pytest.approx(cfo_hz, abs=30.0)
    assert report.start_sample == pytest.approx(2345.6, abs=1.5)
    np.testing.assert_allclose(report.sinr_db, 8.0, atol=2.5)


def test_a_sounding_reports_gain_against_its_own_power():
    rng = random_stream(3, "sounding gain")
    burst = SoundingBurst(client="a", burst_id=5, rb_start=0, rb_count=28, tx_gain_db=-17.0)
    report = receive(burst, send(rng, burst, [], Impairments(snr_db=20.0), DEFAULT_2MSPS), DEFAULT_2MSPS)
    np.testing.assert_allclose(report.gain_db, 0.0, atol=0.6)
    assert report.rx_power_dbfs == pytest.approx(-17.0, abs=0.3)
    assert len(report.channel_db) == 221


def test_an_interferer_in_one_resource_block_lowers_its_sinr_alone():
    rng = random_stream(4, "interferer")
    burst = sounding(6)
    stream = send(rng, burst, [], Impairments(snr_db=20.0), DEFAULT_2MSPS)
    in_rb_20 = DEFAULT_2MSPS.centre_hz(20, 1) + 0.4 * DEFAULT_2MSPS.subcarrier_spacing_hz
    tone = phasor(len(stream), in_rb_20 / 2e6, 0, 0.05)
    sinr_db = np.array(receive(burst, stream + tone, DEFAULT_2MSPS).sinr_db)
    assert np.argmin(sinr_db) == 20
    assert sinr_db[20] < 15.0
    np.testing.assert_allclose(np.delete(sinr_db, [18, 19, 20, 21, 22]), 20.0, atol=2.5)


def test_a_silent_window_gives_noise_and_interference_per_resource_block():
    rng = random_stream(5, "silence")
    power = 1e-6
    stream = white_noise(rng, 100_000, power)
    tone = phasor(len(stream), DEFAULT_2MSPS.centre_hz(9, 1) / 2e6, 0, 1e-3)
    noise_db, psd_db = measure_silence(stream + tone, DEFAULT_2MSPS)
    assert len(noise_db) == 28
    assert len(psd_db) == 256
    np.testing.assert_allclose(np.delete(noise_db, 9), 10 * np.log10(power / 32), atol=0.5)
    assert noise_db[9] == pytest.approx(-60.0, abs=0.5)


def test_a_jammer_hardly_leaks_into_the_next_resource_block():
    rng = random_stream(8, "leak")
    stream = white_noise(rng, 16_384, 1.0) + jammer(rng, 16_384, DEFAULT_2MSPS, 9, 2, 1e4 / 32)
    noise_db = np.array(measure_silence(stream, DEFAULT_2MSPS)[0]) + 10 * np.log10(32)
    np.testing.assert_allclose(noise_db[9:11], 40.0, atol=0.5)
    assert np.all(noise_db[[8, 11]] < 16.0)
    np.testing.assert_allclose(np.delete(noise_db, range(8, 12)), 0.0, atol=0.7)


def test_the_bins_of_a_spectrum_add_up_to_the_mean_power():
    stream = white_noise(random_stream(6, "spectrum"), 50_000, 0.25)
    assert spectrum(stream).sum() == pytest.approx(0.25, rel=0.03)
    assert np.argmax(spectrum(phasor(4096, 0.125, 0, 1.0))) == 128 + 32


def test_a_silent_burst_sounds_like_the_silent_window():
    rng = random_stream(7, "noise agreement")
    burst = sounding(8)
    power = noise_power(burst, 10.0, DEFAULT_2MSPS)
    report = receive(burst, send(rng, burst, [], Impairments(snr_db=10.0), DEFAULT_2MSPS), DEFAULT_2MSPS)
    noise_db, _ = measure_silence(white_noise(rng, 50_000, power), DEFAULT_2MSPS)
    assert np.mean(report.noise_db) == pytest.approx(np.mean(noise_db), abs=0.3)


def test_a_sounding_shows_its_unsmoothed_channel_but_for_phase_and_mean_delay():
    rng = random_stream(7, "raw channel")
    burst, taps = sounding(8), Taps(np.array([0.0, 0.7e-6]), np.array([1.0, 0.5j]))
    stream = apply_taps(send(rng, burst, [], Impairments(snr_db=60.0), DEFAULT_2MSPS), taps, 2e6)
    raw = np.frombuffer(receive(burst, stream, DEFAULT_2MSPS).channel, np.complex64)
    subcarriers = DEFAULT_2MSPS.loaded_subcarriers(0, 28)
    expected = frequency_response(taps, subcarriers * DEFAULT_2MSPS.subcarrier_spacing_hz)
    slopes = np.exp(2j * np.pi * np.outer(np.linspace(-0.05, 0.05, 20_001), subcarriers))
    alike = np.abs(slopes @ (raw * np.conj(expected))).max() / np.linalg.norm(raw) / np.linalg.norm(expected)
    assert alike > 0.999
