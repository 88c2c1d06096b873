"""The GNU Radio flowgraphs of both ends against plain arithmetic."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from radio_lab import data_burst, random_blocks, sounding

from radio.flowgraphs.filters import receive_taps, transmit_taps
from radio.flowgraphs.receive import receive_branches
from radio.flowgraphs.transmit import transmit_samples
from radio.limits import SILENT_SAMPLES
from radio.modem import burst_decimation, modulate
from radio.modem.layout import burst_layout
from radio.modem.ofdm import demodulate_grid
from radio.modem.shaping import receive_gain, transmit_gain
from radio.numerology import DEFAULT_2MSPS as NUMEROLOGY
from radio.numerology import WIDE_4MSPS

N_SAMPLES = 200_001
START = 3000
STOPBAND_DB = 60.0
GRANTS = [(0, 3), (4, 7), (12, 15), (0, 28)]


def grant(rb_start, rb_count):
    return data_burst("c0", rb_start, rb_count, "qpsk-1/2", 6, burst_id=7 + rb_start)


def sent(burst):
    blocks = random_blocks(3, 6)
    return modulate(burst, blocks, NUMEROLOGY), transmit_samples(
        burst, modulate(burst, blocks, NUMEROLOGY), NUMEROLOGY, START, N_SAMPLES
    )


def db(power):
    return 10.0 * np.log10(np.mean(np.abs(power) ** 2) + 1e-30)


@pytest.mark.parametrize("rbs", GRANTS)
def test_the_window_holds_the_whole_burst_and_zeros_around_it(rbs):
    burst = grant(*rbs)
    baseband, window = sent(burst)
    assert window.shape == (N_SAMPLES,)
    assert window.dtype == np.complex64
    delay = (len(transmit_taps(NUMEROLOGY, burst)) - 1) // 2
    end = START + len(baseband) * burst_decimation(burst, NUMEROLOGY)
    assert not window[: START - delay].any()
    assert not window[end + delay :].any()
    assert db(window[START:end]) == pytest.approx(burst.tx_gain_db, abs=0.1)


@pytest.mark.parametrize("rbs", GRANTS)
def test_transmit_flowgraph_does_what_the_formula_says(rbs):
    burst = msgspec.structs.replace(grant(*rbs), cfo_correction_hz=-1234.5)
    baseband, window = sent(burst)
    taps = transmit_taps(NUMEROLOGY, burst)
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
    (branch,) = receive_branches([burst], samples, NUMEROLOGY)
    decimation = burst_decimation(burst, NUMEROLOGY)
    turn = np.exp(-2j * np.pi * NUMEROLOGY.centre_hz(*rbs) / NUMEROLOGY.sample_rate_hz * np.arange(len(samples)))
    expected = np.convolve(samples * turn, receive_taps(NUMEROLOGY, burst), "same")[::decimation]
    assert branch.shape == expected.shape
    # The block turns its output, not its input: one constant phase apart.
    phase = np.vdot(expected, branch)
    assert np.max(np.abs(branch - expected * phase / abs(phase))) < 1e-3


def test_every_branch_gets_its_own_burst_back():
    bursts = [grant(*rbs) for rbs in GRANTS[:3]]
    pairs = [sent(burst) for burst in bursts]
    window = np.sum([samples for _, samples in pairs], axis=0).astype(np.complex64)
    branches = receive_branches(bursts, window, NUMEROLOGY)
    for burst, (baseband, _), branch in zip(bursts, pairs, branches, strict=True):
        layout = burst_layout(burst, NUMEROLOGY)
        assert len(branch) == N_SAMPLES // layout.decimation
        sent_grid = demodulate_grid(baseband, layout, 0, layout.symbols) * receive_gain(layout, 0.0)
        sent_grid *= transmit_gain(layout)
        got = demodulate_grid(branch, layout, START // layout.decimation, layout.symbols)
        gain = np.vdot(sent_grid, got) / np.vdot(sent_grid, sent_grid)
        assert db(got / gain - sent_grid) - db(sent_grid) < -40.0
        assert abs(gain) == pytest.approx(1.0, abs=0.02)


def test_the_same_window_gives_the_same_bits_every_time():
    bursts = [grant(*rbs) for rbs in GRANTS[:3]]
    samples = np.random.default_rng(1).standard_normal(2 * N_SAMPLES).astype(np.float32).view(np.complex64)
    runs = {b"".join(b.tobytes() for b in receive_branches(bursts, samples, NUMEROLOGY)) for _ in range(5)}
    assert len(runs) == 1
    assert len({sent(bursts[0])[1].tobytes() for _ in range(5)}) == 1


def test_a_window_without_bursts_needs_no_flowgraph():
    assert receive_branches([], np.zeros(1000, np.complex64), NUMEROLOGY) == []


@pytest.mark.parametrize("rb_count", [1, 3, 7, 16, 28])
@pytest.mark.parametrize("numerology", [NUMEROLOGY, WIDE_4MSPS], ids=["2 Msps", "4 Msps"])
def test_the_filter_reaches_its_stopband_and_its_gain_is_the_one_divided_out(rb_count, numerology):
    burst = grant(0, rb_count)
    taps, layout = receive_taps(numerology, burst), burst_layout(burst, numerology)
    assert (len(taps) - 1) // 2 % 8 == 0
    assert (len(taps) - 1) // 2 < SILENT_SAMPLES
    response = np.abs(np.fft.fft(taps, 64 * numerology.fft_size))
    subcarrier = np.abs(np.fft.fftfreq(64 * numerology.fft_size, 1.0 / numerology.fft_size))
    assert 20.0 * np.log10(response[subcarrier >= layout.half_band + 8].max()) < -45.0
    assert 20.0 * np.log10(response[subcarrier >= layout.half_band + 10].max()) < -STOPBAND_DB
    np.testing.assert_allclose(response[64 * layout.subcarriers], receive_gain(layout, 0.0), atol=2e-4)
    np.testing.assert_allclose(response[64 * layout.subcarriers + 16], receive_gain(layout, 7812.5 / 4), atol=2e-4)
    # Divided by it, a burst keeps its power.
    assert np.mean(transmit_gain(layout) ** -2.0) == pytest.approx(1.0, abs=0.02)


def test_an_acquisition_burst_passes_its_filter_however_far_its_carrier_is():
    burst = msgspec.structs.replace(sounding("c0", acquisition=True), rb_start=6, rb_count=16)
    response = np.abs(np.fft.fft(receive_taps(NUMEROLOGY, burst), 8192))
    frequency_hz = np.abs(np.fft.fftfreq(8192, 1.0 / NUMEROLOGY.sample_rate_hz))
    assert response[frequency_hz < 500e3 + 120e3].min() > 0.99
