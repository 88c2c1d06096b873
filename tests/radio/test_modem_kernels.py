"""The compiled loops against plain formulas on random input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.modem import kernels
from radio.modem.constellations import Constellation

SEEDS = st.integers(0, 2**32 - 1)
MODULATIONS = st.sampled_from([1, 2, 4, 6, 8])
SUBCARRIERS = np.concatenate([np.arange(-20, -1), np.arange(2, 17)])


def complex_numbers(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def plain_soft_bits(symbols, snr, bits_per_symbol):
    """Max-log: difference of the least squared distances to the points with 1 and with 0, times the SNR."""
    patterns = (np.arange(1 << bits_per_symbol)[:, None] >> np.arange(bits_per_symbol)[::-1]) & 1
    points = Constellation.of(bits_per_symbol).points(patterns.astype(np.uint8).ravel())
    distance = np.abs(np.subtract.outer(symbols, points).astype(np.complex128)) ** 2
    to_one = np.stack([distance[:, bit == 1].min(axis=1) for bit in patterns.T], axis=1)
    to_zero = np.stack([distance[:, bit == 0].min(axis=1) for bit in patterns.T], axis=1)
    return (to_one - to_zero) * snr[:, None]


@settings(max_examples=60, deadline=None)
@given(SEEDS, MODULATIONS, st.integers(1, 3), st.integers(1, 40), st.integers(0, 9), st.floats(0.01, 1e4))
def test_soft_bits_of_blocks_are_those_of_the_plain_formula(
    seed, bits_per_symbol, n_blocks, block_bits, spare_symbols, snr
):
    rng = np.random.default_rng(seed)
    n_symbols = -(-n_blocks * block_bits // bits_per_symbol) + spare_symbols
    symbols = 1.5 * complex_numbers(rng, n_symbols)
    symbol_snr = (snr * rng.uniform(0.5, 2.0, n_symbols)).astype(np.float32)
    scrambling = rng.integers(0, 2, n_symbols * bits_per_symbol).astype(np.uint8)
    places = rng.permutation(block_bits)
    soft = Constellation.of(bits_per_symbol).block_soft_bits(symbols, symbol_snr, scrambling, places, n_blocks)
    on_air = plain_soft_bits(symbols, symbol_snr, bits_per_symbol).ravel() * (1.0 - 2.0 * scrambling)
    expected = np.empty((n_blocks, block_bits))
    expected[:, places] = on_air[: n_blocks * block_bits].reshape(n_blocks, block_bits)
    np.testing.assert_allclose(soft, expected, rtol=1e-4, atol=1e-4 * snr)


@pytest.mark.parametrize("bits_per_symbol", [1, 2, 4, 6, 8])
def test_soft_bits_are_right_far_outside_the_constellation_and_on_its_points(bits_per_symbol):
    levels = Constellation.of(bits_per_symbol).levels
    amplitudes = np.concatenate([levels, [-9.0, -1e3, 9.0, 1e3, 0.0]])
    symbols = (amplitudes[:, None] + 1j * amplitudes[None, :]).ravel().astype(np.complex64)
    snr = np.ones(len(symbols), np.float32)
    soft = Constellation.of(bits_per_symbol).soft_bits(symbols, snr)
    np.testing.assert_allclose(soft, plain_soft_bits(symbols, snr, bits_per_symbol), rtol=1e-3, atol=1e-3)


def test_what_is_no_number_gives_no_soft_bit_and_harms_no_other():
    symbols = np.array([1 + 1j, np.nan * (1 + 1j), complex(np.inf, -np.inf), -1 - 1j], np.complex64)
    soft = Constellation.of(4).soft_bits(symbols, np.ones(4, np.float32))
    np.testing.assert_allclose(soft[[0, 3]], plain_soft_bits(symbols[[0, 3]], np.ones(2), 4), rtol=1e-4)
    assert not np.any(np.isfinite(soft[1]))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 50), st.integers(1, 9), st.integers(-20, 60))
def test_fft_windows_are_turned_slices_of_the_stream_with_zeros_around(seed, n_samples, size, start):
    rng = np.random.default_rng(seed)
    samples, turn = complex_numbers(rng, n_samples), complex_numbers(rng, size)
    first = start + rng.integers(0, 9, 5)
    padded = np.concatenate([np.zeros(99), samples, np.zeros(99)])
    expected = np.array([padded[99 + f : 99 + f + size] * turn for f in first])
    np.testing.assert_allclose(kernels.fft_windows(samples, first, turn), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(-1e4, 1e4), st.floats(-np.pi, np.pi))
def test_subcarriers_are_turned_by_phase_and_slope(seed, largest_phase, largest_slope):
    rng = np.random.default_rng(seed)
    spectrum = complex_numbers(rng, 6, 64)
    phase, slope = largest_phase * rng.uniform(-1, 1, 6), largest_slope * rng.uniform(-1, 1, 6)
    turn = np.exp(1j * (phase[:, None] + slope[:, None] * SUBCARRIERS))
    scale = rng.random(len(SUBCARRIERS), np.float32)
    grid = kernels.turned_subcarriers(spectrum, SUBCARRIERS, phase, slope, scale)
    np.testing.assert_allclose(grid, scale * spectrum[:, SUBCARRIERS] * turn, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.0, 1.0))
def test_the_wanted_elements_are_turned_and_equalised_in_order(seed, share):
    rng = np.random.default_rng(seed)
    grid, gain = complex_numbers(rng, 5, len(SUBCARRIERS)), complex_numbers(rng, len(SUBCARRIERS))
    phase, slope, snr = rng.uniform(-9, 9, 5), rng.uniform(-1, 1, 5), rng.random(len(SUBCARRIERS), np.float32)
    wanted = rng.uniform(size=grid.shape) < share
    symbols, symbol_snr = kernels.equalised(grid, wanted, SUBCARRIERS, phase, slope, gain, snr)
    expected = (grid * np.exp(1j * (phase[:, None] + slope[:, None] * SUBCARRIERS)) * gain)[wanted]
    np.testing.assert_allclose(symbols, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(symbol_snr, np.broadcast_to(snr, grid.shape)[wanted])


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 30), st.integers(1, 30))
def test_spread_adds_up_what_comes_to_the_same_place(seed, n_bits, width):
    rng = np.random.default_rng(seed)
    soft, places = rng.standard_normal((3, n_bits)).astype(np.float32), rng.integers(0, width, n_bits)
    expected = np.stack([np.bincount(places, row, width) for row in soft])
    np.testing.assert_allclose(kernels.spread(soft, places, width), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e4), st.floats(0.0, 0.9))
def test_eight_bit_soft_bits_have_the_level_asked_for_and_leave_erasures_alone(seed, scale, erased):
    rng = np.random.default_rng(seed)
    soft = (scale * rng.standard_normal((3, 200))).astype(np.float32)
    soft[rng.uniform(size=soft.shape) < erased] = 0.0
    mean = np.abs(soft).sum(axis=1, keepdims=True) / np.count_nonzero(soft, axis=1)[:, None]
    expected = np.clip(128 - soft * 96.0 / mean, 0, 255)
    quantised = kernels.eight_bit_soft_bits(soft, 96.0, 128)
    np.testing.assert_allclose(quantised, expected, atol=0.501)
    assert np.all(quantised[soft == 0.0] == 128)


def test_soft_bits_of_nothing_but_zeros_are_erasures():
    assert np.all(kernels.eight_bit_soft_bits(np.zeros((2, 5), np.float32), 96.0, 128) == 128)


@pytest.mark.parametrize("size", [4, 8, 64, 128, 512])
def test_the_candidate_of_lowest_peak_is_found(size):
    rng = np.random.default_rng(size)
    bins = np.arange(-(size // 4), size // 5) % size
    quadrants = rng.integers(0, 4, (6, 16, len(bins))).astype(np.uint8)
    spectrum = np.zeros((6, 16, size), complex)
    spectrum[:, :, bins] = np.exp(1j * np.pi * (0.25 + 0.5 * quadrants))
    peaks = np.abs(np.fft.fft(spectrum)).max(axis=2)
    turn = np.exp(-2j * np.pi / size * np.arange(size)).astype(np.complex64)
    found = [kernels.lowest_peak(candidates, bins, turn) for candidates in quadrants]
    np.testing.assert_allclose(peaks[np.arange(6), found], peaks.min(axis=1), rtol=1e-6)
