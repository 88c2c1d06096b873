"""Finding bursts in what a receiver took: no device, no process."""

from __future__ import annotations

import numpy as np
import pytest
from radio_lab import random_blocks, sounding

from protocol.bursts import Window
from radio.desk.capture import LONGEST_S, Capture, Place
from radio.desk.latency import FEWEST, DetectionWindow
from radio.limits import SILENT_SAMPLES
from radio.modem import burst_air_samples, modulate, receive
from radio.modem.layout import burst_decimation
from radio.numerology import DEFAULT_2MSPS

PIECE = 1 << 14


def noise(n, seed=0, power_db=-50.0):
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal(2 * n, dtype=np.float32) * np.float32(10 ** (power_db / 20) / np.sqrt(2))
    return parts.view(np.complex64)


def stream(bursts, n=400_000, power_db=-30.0):
    """Noise with ``bursts`` (burst, first sample, carrier offset) in it, all of full band at one level."""
    samples = noise(n)
    for burst, first, cfo_hz in bursts:
        blocks = random_blocks(1, len(getattr(burst, "block_ids", [])))
        assert burst_decimation(burst, DEFAULT_2MSPS) == 1
        baseband = modulate(burst, blocks, DEFAULT_2MSPS) * np.float32(10 ** (power_db / 20))
        shift_hz = DEFAULT_2MSPS.centre_hz(burst.rb_start, burst.rb_count) + cfo_hz
        turn = np.exp(2j * np.pi * shift_hz / 2e6 * np.arange(len(baseband)))
        samples[first : first + len(baseband)] += (baseband * turn).astype(np.complex64)
    return samples


def captured(bursts, samples, piece=PIECE):
    capture = Capture(DEFAULT_2MSPS, Window("s", 1, 1, "data", 8192), bursts)
    for begin in range(0, len(samples), piece):
        capture.add(samples[begin : begin + piece])
    return capture


@pytest.mark.parametrize("piece", [PIECE, 5000])
@pytest.mark.parametrize("power_db", [-30.0, -50.0])
def test_a_burst_is_placed_within_the_margin_and_its_stretch_holds_it(power_db, piece):
    burst = sounding("c0", burst_id=7)
    samples = stream([(burst, 123_456, 3e3)], power_db=power_db)
    capture = captured([burst], samples, piece)
    place = capture.place(burst)
    assert place.clear
    assert place.first == pytest.approx(123_456, abs=600)
    cut = capture.cut([place])
    assert len(cut) < burst_air_samples(burst, DEFAULT_2MSPS) + 2 * (SILENT_SAMPLES + 3000)
    report = receive(burst, cut, DEFAULT_2MSPS)
    assert report.detected
    assert report.start_sample > SILENT_SAMPLES
    assert report.cfo_hz == pytest.approx(3e3, abs=50.0)


@pytest.mark.parametrize("cfo_hz", [-110e3, 110e3])
def test_a_burst_far_from_its_carrier_is_placed_too(cfo_hz):
    burst = sounding("c0", acquisition=True)
    place = captured([burst], stream([(burst, 200_000, cfo_hz)])).place(burst)
    assert place.clear
    assert place.first == pytest.approx(200_000, abs=600)


def test_noise_alone_is_never_clear():
    burst = sounding("c0")
    assert not any(captured([burst], noise(300_000, seed)).place(burst).clear for seed in range(20))


def test_a_burst_that_is_not_whole_yet_is_not_clear():
    burst = sounding("c0")
    samples = stream([(burst, 100_000, 0.0)])
    length = burst_air_samples(burst, DEFAULT_2MSPS)
    seen = [captured([burst], samples[: 100_000 + share * length // 4]).place(burst).clear for share in range(5)]
    assert not any(seen)


def test_another_client_s_narrower_burst_is_not_taken_for_it():
    """As strong as can be, in eight of the 28 resource blocks."""
    samples = noise(300_000)
    spectrum = np.zeros(40_000, np.complex64)
    spectrum[np.arange(-17_000, -9_000)] = 1.0
    other = np.fft.ifft(spectrum * np.exp(2j * np.pi * np.random.default_rng(1).random(40_000)))
    samples[150_000:190_000] += (other * 10 ** (-20 / 20) / np.std(other)).astype(np.complex64)
    mine = sounding("c0")
    assert not captured([mine], samples).place(mine).clear


def test_the_stretch_holds_every_burst_and_has_no_dc():
    first, second = sounding("c0", burst_id=1), sounding("c1", burst_id=2)
    capture = captured([first], stream([(first, 60_000, 0.0)]) + np.complex64(0.05 + 0.02j))
    place = capture.place(first)
    cut = capture.cut([place])
    assert abs(cut.mean()) < 1e-4
    later = Place(300_000, 303_360, clear=True)
    both = capture.cut([place, later])
    assert len(both) == pytest.approx(303_360 - 60_000 + 2 * (SILENT_SAMPLES + 2048), abs=600)
    assert len(capture.cut([])) == capture.samples
    report = receive(second, cut, DEFAULT_2MSPS)
    assert not report.detected


def test_what_is_too_old_is_forgotten():
    capture = Capture(DEFAULT_2MSPS, Window("s", 1, 1, "data", 8192), [sounding("c0")])
    piece = np.zeros(1 << 20, np.complex64)
    forgotten = sum(capture.add(piece) for _ in range(20))
    assert forgotten == 20 * len(piece) - capture.samples
    assert LONGEST_S * 2e6 <= capture.samples < LONGEST_S * 2e6 + 2 * len(piece)


def test_the_wait_for_a_burst_follows_measured_latency_and_starts_anew_when_one_is_missed():
    window = DetectionWindow(0.25)
    for _ in range(FEWEST):
        assert window.length_s == 0.25
        window.heard(0.02)
    assert 0.04 <= window.length_s < 0.12
    window.heard(0.4)
    assert window.length_s > 0.8
    window.missed()
    assert window.length_s == 0.25
