"""The GNU Radio flowgraphs of both ends against plain arithmetic."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from radio_lab import data_burst, random_blocks, sounding

from radio.flowgraphs.filters import STOPBAND_DB, low_pass, receive_taps, transmit_taps
from radio.flowgraphs.receive import receive_branches
from radio.flowgraphs.transmit import transmit_samples
from radio.modem import burst_decimation, modulate
from radio.numerology import DEFAULT_2MSPS as NUMEROLOGY

N_SAMPLES = 200_001
START = 3000
GRANTS = [(0, 3), (4, 7), (12, 15), (0, 28)]


def grant(rb_start, rb_count):
    return data_burst("c0", rb_start, rb_count, "qpsk-1/2", 6, burst_id=7 + rb_start)


def sent(burst, guard_rb=1):
    blocks = random_blocks(3, 6)
    return modulate(burst, blocks, NUMEROLOGY), transmit_samples(
        burst, modulate(burst, blocks, NUMEROLOGY), NUMEROLOGY, guard_rb, START, N_SAMPLES
    )


def db(power):
    return 10.0 * np.log10(np.mean(np.abs(power) ** 2) + 1e-30)


@pytest.mark.parametrize("rbs", GRANTS)
def test_the_window_holds_the_whole_burst_and_zeros_around_it(rbs):
    burst = grant(*rbs)
    baseband, window = sent(burst)
    assert window.shape == (N_SAMPLES,)
    assert window.dtype == np.complex64
    delay = (len(transmit_taps(NUMEROLOGY, burst, 1)) - 1) // 2
    end = START + len(baseband) * burst_decimation(burst, NUMEROLOGY)
    assert not window[: START - delay].any()
    assert not window[end + delay :].any()
    assert db(window[START:end]) == pytest.approx(burst.tx_gain_db, abs=0.1)


@pytest.mark.parametrize("rbs", GRANTS)
def test_transmit_flowgraph_does_what_the_formula_says(rbs):
    burst = msgspec.structs.replace(grant(*rbs), cfo_correction_hz=-1234.5)
    baseband, window = sent(burst)
    taps = transmit_taps(NUMEROLOGY, burst, 1)
    interpolation = burst_decimation(burst, NUMEROLOGY)
    stuffed = np.zeros(len(baseband) * interpolation, np.complex128)
    stuffed[::interpolation] = baseband
    shaped = np.convolve(stuffed, taps)
    shift_hz = NUMEROLOGY.centre_hz(*rbs) - 1234.5
    expected = shaped * np.exp(2j * np.pi * shift_hz / NUMEROLOGY.sample_rate_hz * np.arange(len(shaped)))
    first = START - (len(taps) - 1) // 2
    error = np.abs(window[first : first + len(shaped)] - expected)
    assert np.max(error[:5000]) < 5e-3
    # The rotator's step is single precision: a fraction of a hertz, seen at the end of a long burst.
    assert np.max(error) < 0.1


@pytest.mark.parametrize("rbs", GRANTS[:3])
def test_neighbours_see_almost_nothing_of_a_burst(rbs):
    burst = grant(*rbs)
    _, window = sent(burst)
    spectrum = np.abs(np.fft.fft(window * np.hanning(len(window)))) ** 2
    frequency_hz = np.fft.fftfreq(len(window), 1.0 / NUMEROLOGY.sample_rate_hz)
    distance_hz = np.abs((frequency_hz - NUMEROLOGY.centre_hz(*rbs) + 1e6) % 2e6 - 1e6)
    half_hz = 0.5 * rbs[1] * NUMEROLOGY.rb_bandwidth_hz
    own = spectrum[distance_hz < half_hz].mean()
    first_hz = half_hz + NUMEROLOGY.rb_bandwidth_hz
    blocks = np.arange(first_hz, 1e6, NUMEROLOGY.rb_bandwidth_hz)
    levels = [spectrum[(distance_hz >= b) & (distance_hz < b + NUMEROLOGY.rb_bandwidth_hz)].mean() for b in blocks]
    assert 10.0 * np.log10(max(levels) / own) < -STOPBAND_DB


@pytest.mark.parametrize("rbs", GRANTS)
def test_receive_flowgraph_does_what_the_formula_says(rbs):
    burst = grant(*rbs)
    rng = np.random.default_rng(2)
    samples = (rng.standard_normal(20_000) + 1j * rng.standard_normal(20_000)).astype(np.complex64)
    (branch,) = receive_branches([burst], samples, NUMEROLOGY, 1)
    decimation = burst_decimation(burst, NUMEROLOGY)
    turn = np.exp(-2j * np.pi * NUMEROLOGY.centre_hz(*rbs) / NUMEROLOGY.sample_rate_hz * np.arange(len(samples)))
    expected = np.convolve(samples * turn, receive_taps(NUMEROLOGY, burst, 1), "same")[::decimation]
    assert branch.shape == expected.shape
    # The block turns its output, not its input: one constant phase apart.
    phase = np.vdot(expected, branch)
    assert np.max(np.abs(branch - expected * phase / abs(phase))) < 1e-3


def test_every_branch_gets_its_own_burst_back():
    bursts = [grant(*rbs) for rbs in GRANTS[:3]]
    pairs = [sent(burst) for burst in bursts]
    window = np.sum([samples for _, samples in pairs], axis=0).astype(np.complex64)
    branches = receive_branches(bursts, window, NUMEROLOGY, 1)
    for burst, (baseband, _), branch in zip(bursts, pairs, branches, strict=True):
        decimation = burst_decimation(burst, NUMEROLOGY)
        assert len(branch) == N_SAMPLES // decimation
        got = branch[START // decimation :][: len(baseband)]
        gain = np.vdot(baseband, got) / np.vdot(baseband, baseband)
        # What the sharp filters take off the symbols' edges lies outside the loaded subcarriers.
        assert db(got / gain - baseband) - db(baseband) < -20.0
        assert abs(gain) == pytest.approx(1.0, abs=0.02)


def test_the_same_window_gives_the_same_bits_every_time():
    bursts = [grant(*rbs) for rbs in GRANTS[:3]]
    samples = np.random.default_rng(1).standard_normal(2 * N_SAMPLES).astype(np.float32).view(np.complex64)
    runs = {b"".join(b.tobytes() for b in receive_branches(bursts, samples, NUMEROLOGY, 1)) for _ in range(5)}
    assert len(runs) == 1
    assert len({sent(bursts[0])[1].tobytes() for _ in range(5)}) == 1


def test_a_window_without_bursts_needs_no_flowgraph():
    assert receive_branches([], np.zeros(1000, np.complex64), NUMEROLOGY, 1) == []


@pytest.mark.parametrize("guard_rb", [0, 1, 2])
def test_guards_of_any_width_have_a_filter_that_fits_the_zeros_around_a_burst(guard_rb):
    taps = transmit_taps(NUMEROLOGY, grant(4, 7), guard_rb)
    assert len(taps) % 2 == 1
    assert (len(taps) - 1) // 2 < 1024


def test_the_low_pass_is_flat_and_reaches_its_stopband():
    taps = low_pass(0.1, 0.03, 4)
    response = np.abs(np.fft.fft(taps, 8192))
    frequency = np.abs(np.fft.fftfreq(8192))
    assert np.max(np.abs(response[frequency <= 0.1] - 1.0)) < 2e-3
    assert 20.0 * np.log10(response[frequency >= 0.13].max()) < -STOPBAND_DB + 1.0
    assert ((len(taps) - 1) // 2) % 4 == 0


def test_an_acquisition_burst_passes_its_filter_however_far_its_carrier_is():
    burst = msgspec.structs.replace(sounding("c0", acquisition=True), rb_start=6, rb_count=16)
    response = np.abs(np.fft.fft(receive_taps(NUMEROLOGY, burst, 1), 8192))
    frequency_hz = np.abs(np.fft.fftfreq(8192, 1.0 / NUMEROLOGY.sample_rate_hz))
    assert response[frequency_hz < 500e3 + 120e3].min() > 0.99
