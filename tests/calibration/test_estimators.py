"""Estimators on made samples: they find what was put in, and their uncertainties say how well."""

import numpy as np
import pytest

from calibration.carrier import (
    corrected_xo_hz,
    offset_of_sounding,
    offset_of_tone,
    one_of,
    sounding_to_repeat,
    step_hz,
)
from calibration.gains import Reading, fit_gains
from calibration.levels import front_end_levels
from calibration.noise import noise_density, noise_figure_db
from calibration.occupancy import bars, capture_centres, occupancy
from calibration.pattern import LONGEST_PATTERN, count_pattern, counted_pattern
from calibration.tones import find_tone, level_at
from protocol.bursts import SoundingBurst
from protocol.errors import RadioError
from protocol.random_streams import random_stream
from radio.modem.trial import Impairments, send
from radio.numerology import DEFAULT_2MSPS
from radio.quantity import Quantity, mean_of

RATE_HZ = 2e6


def noise(rng, n, power):
    return np.sqrt(0.5 * power) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))


def tone(n, frequency_hz, level_dbfs, phase=0.3):
    return 10 ** (level_dbfs / 20) * np.exp(2j * np.pi * frequency_hz / RATE_HZ * np.arange(n) + 1j * phase)


def as_samples(values):
    return np.asarray(values, np.complex64)


def test_quantities_add_up_and_repeated_readings_tell_their_scatter():
    total = Quantity(3.0, 0.3).plus(Quantity(1.0, 0.4)).minus(Quantity(0.5, 0.0))
    assert (total.value, total.uncertainty) == pytest.approx((3.5, 0.5))
    assert str(Quantity(12.3456, 0.034)) == "12.346 ± 0.034"
    assert mean_of([Quantity(1.0, 0.1)] * 4).uncertainty == pytest.approx(0.05)
    assert mean_of([Quantity(v, 0.001) for v in (0.0, 1.0, 2.0)]).uncertainty == pytest.approx(np.sqrt(1 / 3))


@pytest.mark.parametrize("snr_db", [-14.0, 20.0])
def test_frequency_and_level_of_a_tone_scatter_as_their_uncertainties_say(snr_db):
    rng = random_stream(1, "tone", str(snr_db))
    frequency_errors, level_errors = [], []
    for _ in range(200):
        frequency_hz = float(rng.uniform(-9e5, 9e5))
        samples = as_samples(tone(4096, frequency_hz, -30.0) + noise(rng, 4096, 10 ** (-3.0 - snr_db / 10)))
        found = find_tone(samples, RATE_HZ, frequency_hz + 700.0, 2000.0)
        frequency_errors.append((found.frequency_hz.value - frequency_hz) / found.frequency_hz.uncertainty)
        level_errors.append((found.level_dbfs.value + 30.0) / found.level_dbfs.uncertainty)
    for errors in (frequency_errors, level_errors):
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.0, abs=0.2)
        assert abs(np.mean(errors)) < 0.3


def test_noise_alone_is_no_tone_and_a_strong_tone_elsewhere_is_not_looked_at():
    rng = random_stream(2, "no tone")
    samples = noise(rng, 8192, 1e-4)
    assert find_tone(as_samples(samples), RATE_HZ, 0.0, 1e6) is None
    samples = as_samples(samples + tone(8192, 3e5, -10.0) + tone(8192, -3e5, -50.0))
    assert find_tone(samples, RATE_HZ, -3e5, 1e3).level_dbfs.value == pytest.approx(-50.0, abs=1.0)


def test_a_level_below_the_noise_says_that_it_is_unsure():
    rng = random_stream(3, "no level")
    seen = level_at(as_samples(noise(rng, 8192, 1e-4)), RATE_HZ, 2.5e5)
    assert seen.value < -70.0
    assert seen.uncertainty > 3.0
    assert level_at(as_samples(tone(8192, 2.5e5, -20.0) + noise(rng, 8192, 1e-4)), RATE_HZ, 2.5e5).value == (
        pytest.approx(-20.0, abs=0.2)
    )


def test_the_noise_in_a_level_s_bin_is_taken_off():
    rng = random_stream(10, "biased level")
    noise_power = 1e-4 * 4096 / 2.0 / 10.0**0.4  # about 4 dB below the tone in one bin of the window
    powers = [
        10
        ** (level_at(as_samples(tone(4096, 2.5e5, -40.0) + noise(rng, 4096, noise_power)), RATE_HZ, 2.5e5).value / 10)
        for _ in range(400)
    ]
    assert 10 * np.log10(np.mean(powers)) == pytest.approx(-40.0, abs=0.6)


def test_the_offset_of_a_tone_counts_the_receiver_s_own_clock():
    """Carrier 2.4 GHz, tone at 100 kHz; the sender's crystal 20 ppm fast, the receiver's 3 ppm slow."""
    ratio = (1 + 20e-6) / (1 - 3e-6)
    measured_hz = (2.4e9 + 1e5) * ratio - 2.4e9
    offset = offset_of_tone(Quantity(measured_hz, 1.0), 1e5, 2.4e9)
    assert offset.ppm.value == pytest.approx(1e6 * (ratio - 1), abs=1e-9)
    assert offset.hz.uncertainty == pytest.approx(1.0, rel=1e-4)
    corrected = corrected_xo_hz(40_000_000, offset.ppm.value)
    assert abs(40e6 * ratio / corrected - 1) * 2.4e9 <= 0.5 * step_hz(2.4e9, 40_000_000)


def test_the_modem_s_sounding_tells_the_same_offset_as_a_tone_would():
    rng = random_stream(4, "preamble offset")
    burst = SoundingBurst(client="a", burst_id=3, rb_start=0, rb_count=28)
    errors = []
    for _ in range(30):
        cfo_hz = float(rng.uniform(-9e3, 9e3))
        samples = send(rng, burst, [], Impairments(snr_db=15.0, cfo_hz=cfo_hz, start=900.5), DEFAULT_2MSPS)
        offset = offset_of_sounding(samples, burst, DEFAULT_2MSPS, 2.4e9)
        errors.append((offset.hz.value - cfo_hz) / offset.hz.uncertainty)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.0, abs=0.35)
    assert offset_of_sounding(as_samples(noise(rng, 40000, 1.0)), burst, DEFAULT_2MSPS, 2.4e9) is None


@pytest.mark.parametrize("offset", [0, 400, 2000, 3400, 5900])
def test_one_whole_burst_is_cut_out_of_a_repeated_one(offset):
    rng = random_stream(11, "repeated")
    burst = SoundingBurst(client="a", burst_id=0, rb_start=0, rb_count=28)
    period = sounding_to_repeat(burst, DEFAULT_2MSPS)
    received = np.roll(np.tile(period, 4), offset)[: 3 * len(period)]
    received = as_samples(received + noise(rng, len(received), 1e-5))
    cut = one_of(received, len(period) // 2)
    assert len(cut) == 5 * len(period) // 6
    assert np.mean(np.abs(cut[:1000]) ** 2) < 1e-3 * np.mean(np.abs(cut) ** 2)
    assert np.mean(np.abs(cut[-1000:]) ** 2) < 1e-3 * np.mean(np.abs(cut) ** 2)
    assert offset_of_sounding(cut, burst, DEFAULT_2MSPS, 2.4e9).hz.value == pytest.approx(0.0, abs=1.0)


def test_the_noise_floor_does_not_count_carriers_and_a_dc_offset():
    rng = random_stream(5, "floor")
    errors = []
    for _ in range(200):
        samples = noise(rng, 1 << 13, 1e-5) + tone(1 << 13, 4.4e5, -20.0) + 0.05
        seen = noise_density(as_samples(samples), RATE_HZ)
        errors.append((seen.value - 10 * np.log10(1e-5 / RATE_HZ)) / seen.uncertainty)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.0, abs=0.35)


def test_a_noise_figure_follows_from_floor_gain_and_full_scale():
    """Noise figure 5 dB at gain 60 dB, full scale 0 dBm; the converter adds as much noise as the receiver."""
    received = 10 ** ((-173.975 + 5.0 + 60.0) / 10)
    seen = noise_figure_db(
        Quantity(10 * np.log10(2 * received), 0.1), Quantity(10 * np.log10(received), 0.1),
        Quantity(60.0, 0.3), Quantity(0.0, 0.4),
    )  # fmt: skip
    assert seen.value == pytest.approx(5.0, abs=1e-6)
    assert seen.uncertainty == pytest.approx(np.sqrt(0.2**2 + 0.1**2 + 0.3**2 + 0.4**2))
    low = Quantity(-140.0, 0.1)
    assert noise_figure_db(low, low, Quantity(0.0, 0.0), Quantity(0.0, 0.0)) is None


def test_images_carrier_and_dc_are_told_apart_in_one_capture():
    rng = random_stream(6, "levels")
    n, f, shift, cfo = 1 << 16, 2.1e5, 1.7e5, 1234.0
    parts = [(shift + f + cfo, -12), (shift - f + cfo, -52), (shift + cfo, -60), (-(shift + f + cfo), -47), (0.0, -55)]
    samples = as_samples(sum(tone(n, *part) for part in parts) + noise(rng, n, 1e-6))
    seen = front_end_levels(samples, RATE_HZ, f, shift, 5e3)
    levels = (seen.tone_dbfs, seen.transmit_image_db, seen.transmit_carrier_db, seen.receive_image_db)
    assert [q.value for q in (*levels, seen.receive_dc_dbfs)] == pytest.approx([-12, -40, -48, -35, -55], abs=0.3)
    assert front_end_levels(as_samples(noise(rng, n, 1e-6)), RATE_HZ, f, shift, 5e3) is None


def test_gain_tables_come_out_of_readings_that_see_both_gains_at_once():
    rng = random_stream(7, "gains")
    transmit = {-60.0: -59.2, -40.0: -40.3, -20.0: -20.0, 0.0: 0.6}
    receive = {0.0: 0.0, 20.0: 20.4, 40.0: 39.1, 60.0: 60.2}
    readings = [
        Reading(t, r, Quantity(-55.0 + transmit[t] + receive[r] + float(rng.normal(0, 0.05)), 0.05))
        for t in transmit for r in receive if -60.0 < t + r <= 20.0
    ]  # fmt: skip
    fitted = fit_gains(readings, -20.0, 0.0)
    for table, truth in ((fitted.transmit, transmit), (fitted.receive, receive)):
        assert {s: q.value for s, q in table.items()} == pytest.approx(truth, abs=0.15)
        assert all(q.uncertainty < 0.1 for q in table.values())
    assert fitted.path_db.value == pytest.approx(-55.0, abs=0.15)
    with pytest.raises(RadioError, match="no chain of readings joins all settings"):
        fit_gains([readings[0], Reading(-5.0, 70.0, Quantity(0.0, 0.1))], -20.0, 0.0)


def test_a_reading_in_which_samples_were_lost_is_left_out_and_too_many_are_told():
    settings = [(t, r) for t in (-20.0, -10.0, 0.0) for r in (0.0, 10.0, 20.0, 30.0)]
    good = [Reading(t, r, Quantity(t + r - 50.0, 0.05)) for t, r in settings]

    def torn(*places):
        return [Reading(r.transmit_db, r.receive_db, Quantity(r.level_db.value - 3.0 * (i in places), 0.05))
                for i, r in enumerate(good)]  # fmt: skip

    fitted = fit_gains(torn(5), 0.0, 0.0)
    assert len(fitted.readings) == 11
    assert fitted.transmit[-10.0].value == pytest.approx(-10.0, abs=1e-6)
    assert fitted.transmit[-10.0].uncertainty < 0.06
    with pytest.raises(RadioError, match="more than 20 % of the levels do not fit"):
        fit_gains([*torn(0, 5, 7, 10), *torn(2, 3, 9)], 0.0, 0.0)


def test_a_model_that_does_not_fit_is_less_sure_of_its_gains():
    settings = [(t, r) for t in (-20.0, -10.0, 0.0) for r in (0.0, 10.0, 20.0)]
    good = [Reading(t, r, Quantity(t + r - 50.0, 0.05)) for t, r in settings]
    bent = [Reading(t, r, Quantity(t + r - 50.0 + 0.001 * t * r, 0.05)) for t, r in settings]
    sure, unsure = (fit_gains(readings, 0.0, 0.0).receive[20.0].uncertainty for readings in (good, bent))
    assert unsure > 1.3 * sure


@pytest.mark.parametrize("lost", [1, 5000, 70_000])
def test_a_gap_in_a_counted_stream_is_found_and_measured(lost):
    pattern = counted_pattern()
    assert (pattern.view(np.float32)[:100] * 2048 % 1 == 0.5).all()  # rounding either way keeps the code
    received = np.roll(np.concatenate([pattern, pattern]), -LONGEST_PATTERN // 3)[:300_000]
    codes = np.floor(received.view(np.float32) * 2048).astype(np.float32) / 2048
    whole = count_pattern(codes.view(np.complex64))
    assert (whole.whole, whole.samples) == (True, 300_000)
    torn = np.concatenate([codes.view(np.complex64)[:100_000], codes.view(np.complex64)[100_000 + lost :]])
    seen = count_pattern(torn)
    assert (seen.gaps, seen.lost_samples, seen.wrong_samples, seen.whole) == (1, lost, 0, False)


def test_samples_that_are_no_count_are_wrong():
    rng = random_stream(8, "wrong")
    samples = as_samples(noise(rng, 1000, 0.01))
    assert count_pattern(samples).wrong_samples > 500
    assert not count_pattern(samples).whole


def test_a_scan_finds_who_is_on_the_band_and_how_much_of_the_time():
    rng = random_stream(9, "scan")
    centres = capture_centres(2.400e9, 2.408e9, RATE_HZ)
    assert len(centres) == 5
    captures = {}
    for centre in centres:
        samples = noise(rng, 1 << 16, 1e-6) + 0.02
        if abs(centre - 2.404e9) < 1e3:
            samples += tone(1 << 16, 3.3e5, -40.0) * (np.arange(1 << 16) < 1 << 14)
        captures[centre] = as_samples(samples)
    scan = occupancy(captures, RATE_HZ)
    busy = int(np.argmax(scan.power_dbfs))
    assert scan.frequency_hz[busy] == pytest.approx(2.40433e9, abs=1e5)
    assert scan.occupied[busy] == pytest.approx(0.25, abs=0.1)
    assert np.count_nonzero(scan.occupied > 0.05) == 1
    power, used, axis = bars(scan, 80)
    assert len(power) == 80
    assert power[busy] not in " ▁"
    assert (used[busy], used.strip()) == ("2", "2")
    assert axis.split("  ")[0] == "2400.1 MHz"
    assert axis.endswith(" 2407.9 MHz")
