"""Interference beside a burst: where it is seen, what it leaks, and what is left of that."""

import numpy as np
import pytest

from protocol.bursts import DataBurst, SoundingBurst
from protocol.random_streams import random_stream
from radio.channel.jammer import jammer
from radio.modem import receive
from radio.modem.interference import Suppression, _smear, background, smeared_noise
from radio.modem.layout import burst_layout
from radio.modem.shaping import receive_gain
from radio.modem.trial import (
    Impairments,
    Scene,
    branch,
    noise_power,
    random_blocks,
    received,
    white_noise,
)
from radio.numerology import DEFAULT_2MSPS

JAMMED_RB = 12
RB_SHARE = DEFAULT_2MSPS.rb_subcarriers / DEFAULT_2MSPS.fft_size


def data_burst(rb_start, rb_count, mcs="16qam-1/2", blocks=12, **fields):
    return DataBurst("a", 41 + rb_start, rb_start, rb_count, mcs, list(range(blocks)), **fields)


def jammed_noise(rng, n_samples, over_noise_db):
    """Noise of power 1 and a jammer so much above it in its RB."""
    power = RB_SHARE * 10.0 ** (over_noise_db / 10.0)
    return white_noise(rng, n_samples, 1.0) + jammer(rng, n_samples, DEFAULT_2MSPS, JAMMED_RB, 1, power)


def beside_jammer(burst, snr_db, over_noise_db, **impairments):
    """What the receiver makes of ``burst``, and its blocks."""
    rng = random_stream(1, "beside", burst.burst_id, round(over_noise_db))
    blocks = random_blocks(rng, burst)
    stream = received(rng, burst, blocks, Impairments(400.0, 1700.3, **impairments), DEFAULT_2MSPS)
    noise = jammed_noise(rng, len(stream), over_noise_db)
    stream += np.float32(np.sqrt(noise_power(burst, snr_db, DEFAULT_2MSPS))) * noise
    return receive(burst, branch(burst, stream, DEFAULT_2MSPS), DEFAULT_2MSPS), blocks


def windows_of(burst, stream):
    """FFTs of the symbols' windows of a stream in the burst's branch, (symbols, fft_size)."""
    layout = burst_layout(burst, DEFAULT_2MSPS)
    samples = branch(burst, stream, DEFAULT_2MSPS)
    count = len(samples) // layout.symbol_samples
    cut = samples[: count * layout.symbol_samples].reshape(count, -1)[:, layout.cp :]
    return samples, np.fft.fft(cut, axis=1).astype(np.complex64)


def test_a_tone_between_two_bins_falls_on_all_as_computed():
    place, size = 5.3, 32
    tone = np.exp(2j * np.pi * place / size * np.arange(size))
    bins = np.arange(-size // 2, size // 2)
    np.testing.assert_allclose(_smear(bins, np.array([place]), size)[:, 0], np.fft.fft(tone)[bins] / size, atol=1e-12)
    assert _smear(np.array([3]), np.array([3.0]), size)[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("over_noise_db", [20.0, 40.0])
def test_the_head_of_a_window_tells_noise_and_where_a_jammer_lies(over_noise_db):
    burst = SoundingBurst("a", 1, 0, 28)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    samples = branch(burst, jammed_noise(random_stream(2, "head"), 4000, over_noise_db), DEFAULT_2MSPS)
    seen = background(samples, 3000.0, layout)
    assert 10 * np.log10(seen.noise / 256) == pytest.approx(0.0, abs=0.7)
    first = DEFAULT_2MSPS.centre_subcarrier(JAMMED_RB, 1) - 4
    found = np.flatnonzero(seen.interference)
    assert set(found) <= set(np.arange(first - 1, first + 9) % 256)
    assert len(found) >= 6
    rise_db = 10 * np.log10(seen.rb_noise(layout) * 256)
    assert rise_db[JAMMED_RB] == pytest.approx(over_noise_db, abs=3.0)
    assert np.max(np.delete(rise_db, range(JAMMED_RB - 1, JAMMED_RB + 2))) < 2.5


def test_a_window_without_a_head_tells_nothing():
    burst = data_burst(6, 6)
    samples = jammed_noise(random_stream(3, "no head"), 4000, 40.0)
    assert background(samples[:1000], 60.0, burst_layout(burst, DEFAULT_2MSPS)) is None


@pytest.mark.parametrize(("rb_start", "rb_count"), [(6, 6), (13, 14), (10, 2)])
@pytest.mark.parametrize("over_noise_db", [20.0, 30.0])
def test_what_is_left_beside_a_jammer_is_what_was_said(rb_start, rb_count, over_noise_db):
    burst = data_burst(rb_start, rb_count)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    stream = jammed_noise(random_stream(4, "left", rb_start), 250_000, over_noise_db)
    samples, spectrum = windows_of(burst, stream)
    before = background(samples, 1e6, layout)
    gain = receive_gain(layout, 0.0) ** 2 * layout.fft_size / layout.decimation

    def noise_db():
        return 10 * np.log10(np.mean(np.abs(spectrum[:, layout.subcarriers]) ** 2, axis=0) / gain)

    smeared = noise_db()
    np.testing.assert_allclose(10 * np.log10(smeared_noise(before, layout, 0.0)), smeared, atol=5.0)
    suppression = Suppression(before, layout)
    suppression.at(0.0)(spectrum)
    left = noise_db()
    assert np.mean(left) < 0.55 * np.mean(smeared)
    np.testing.assert_allclose(10 * np.log10(suppression.noise_rise), left, atol=2.0)


def test_where_nothing_lies_beside_nothing_is_taken_off():
    burst = data_burst(6, 6)
    samples, spectrum = windows_of(burst, white_noise(random_stream(5, "nothing"), 100_000, 1.0))
    layout = burst_layout(burst, DEFAULT_2MSPS)
    kept = spectrum.copy()
    suppression = Suppression(background(samples, 1e6, layout), layout)
    suppression.at(300.0)(spectrum)
    assert np.array_equal(spectrum, kept)
    assert np.all(suppression.noise_rise == 1.0)


@pytest.mark.parametrize("cfo_hz", [-1900.0, 1900.0])
@pytest.mark.parametrize(("rb_start", "over_noise_db"), [(6, 20.0), (6, 30.0), (13, 30.0)])
def test_data_beside_a_jammer_decodes_a_little_above_its_threshold(rb_start, over_noise_db, cfo_hz):
    report, blocks = beside_jammer(data_burst(rb_start, 6), 11.5, over_noise_db, cfo_hz=cfo_hz)
    assert report.blocks == blocks
    assert np.min(report.sinr_db) > 4.0


@pytest.mark.parametrize("snr_db", [3.0, 25.0])
def test_a_jammed_sounding_tells_the_noise_a_grant_will_have(snr_db):
    report, _ = beside_jammer(SoundingBurst("a", 9, 0, 28), snr_db, 40.0, cfo_hz=4000.0, clock_ppm=20.0)
    assert report.detected
    assert report.cfo_hz == pytest.approx(4000.0, abs=20.0)
    sinr_db = np.array(report.sinr_db) - snr_db
    assert sinr_db[JAMMED_RB] < -15.0
    far = np.delete(sinr_db, range(JAMMED_RB - 1, JAMMED_RB + 2))
    assert abs(np.mean(far)) < 1.0
    assert np.max(np.abs(far)) < 4.0


def test_the_carrier_leaks_of_strong_clients_are_taken_off_a_grant_beside_the_carrier():
    rng = random_stream(6, "carrier leak")
    burst = data_burst(8, 6)
    blocks = random_blocks(rng, burst)
    leak = 10.0 ** (3.0 / 20.0)

    def leaks(samples):
        n = np.arange(len(samples))
        return samples + np.float32(leak) * np.exp(2j * np.pi * 1500.0 / 2e6 * n).astype(np.complex64)

    scene = Scene(receiver=leaks)
    stream = received(rng, burst, blocks, Impairments(12.0, cfo_hz=-700.0), DEFAULT_2MSPS, scene)
    report = receive(burst, branch(burst, stream, DEFAULT_2MSPS), DEFAULT_2MSPS)
    assert report.blocks == blocks
    assert np.min(report.sinr_db) > 9.0
