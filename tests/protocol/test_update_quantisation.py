"""Quantisation: reach of the scale, unbiased rounding, expected error, and refusal of false codes."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocol.errors import UpdateFileError
from protocol.update.quantisation import (
    QUANT_BITS,
    SCALE_BYTES,
    dequantise,
    encoded_bytes,
    quantise,
    rounding_variance,
    scales_of,
    top_code,
)

COARSE = (4, 8, 16)
values = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-5000, 5000, width=32, allow_subnormal=False))


def round_trip(parts, bits, seed=0):
    data = quantise(parts, bits, np.random.default_rng(seed))
    sizes = [part.size for part in parts]
    assert len(data) == encoded_bytes(sizes, bits)
    return dequantise(data, sizes, bits)


@pytest.mark.parametrize("bits", QUANT_BITS)
@given(first=values, second=values, seed=st.integers(0, 99))
def test_no_value_moves_by_more_than_one_step(bits, first, second, seed):
    for sent, got in zip((first, second), round_trip([first, second], bits, seed), strict=True):
        step = 0.0 if bits == 32 else max(float(scales_of(sent[None], bits)[0]), 2.0**-100 * top_code(bits))
        assert got.dtype == np.float32
        assert np.all(np.abs(got.astype(np.float64) - sent) <= step * (1 + 1e-6))


def test_thirty_two_bits_are_the_float32_itself():
    part = np.random.default_rng(0).normal(size=31).astype(np.float32)
    assert round_trip([part], 32)[0].tobytes() == part.tobytes()


@pytest.mark.parametrize("bits", COARSE)
def test_stochastic_rounding_is_unbiased_and_its_variance_as_expected(bits):
    part = np.random.default_rng(1).normal(size=24).astype(np.float32)
    draws = 4000
    got = np.array([round_trip([part], bits, seed)[0] for seed in range(draws)], dtype=np.float64)
    step = float(scales_of(part[None], bits)[0])
    assert np.all(np.abs(got.mean(axis=0) - part) <= 5.0 * step / 2.0 / np.sqrt(draws))
    measured = np.mean(np.sum((got - part) ** 2, axis=1))
    assert measured == pytest.approx(rounding_variance(part[None], bits)[0], rel=0.05)


@pytest.mark.parametrize("bits", COARSE)
@given(part=values)
def test_the_scale_reaches_the_largest_value_and_hardly_more(bits, part):
    peak = float(np.max(np.abs(part)))
    assume(peak > 1e-20)
    scale = float(scales_of(part[None], bits)[0])
    assert peak <= scale * top_code(bits) <= peak * (1 + 1e-6)


def test_parts_of_unlike_size_keep_their_own_precision():
    large, small = np.full(8, 100.0, np.float32), np.linspace(-1e-4, 1e-4, 8, dtype=np.float32)
    _, got = round_trip([large, small], 8)
    assert np.max(np.abs(got - small)) < 2e-6


@pytest.mark.parametrize("bits", COARSE)
def test_a_part_of_zeros_or_of_denormals_is_sent_as_zero(bits):
    got = round_trip([np.zeros(3, np.float32), np.full(5, 1e-41, np.float32)], bits)
    assert not np.any(got[0])
    assert not np.any(got[1])


def test_an_odd_number_of_four_bit_codes_fills_its_last_byte():
    part = np.array([7.0, -7.0, 3.0], np.float32)
    assert encoded_bytes([3], 4) == SCALE_BYTES + 2
    assert np.array_equal(round_trip([part], 4)[0], part)


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, 1e5])
@pytest.mark.parametrize("bits", COARSE)
def test_false_scales_are_refused(bits, scale):
    data = np.float32(scale).tobytes() + bytes(encoded_bytes([6], bits) - SCALE_BYTES)
    with pytest.raises(UpdateFileError, match="scale"):
        dequantise(data, [6], bits)


@pytest.mark.parametrize("bits", COARSE)
def test_the_most_negative_code_is_refused(bits):
    data = bytearray(quantise([np.ones(2, np.float32)], bits, np.random.default_rng(0)))
    data[SCALE_BYTES:] = {4: b"\x18", 8: b"\x80\x01", 16: b"\x00\x80\x01\x00"}[bits]
    with pytest.raises(UpdateFileError, match="code"):
        dequantise(bytes(data), [2], bits)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2e4])
def test_false_float32_values_are_refused(value):
    with pytest.raises(UpdateFileError, match="NaN"):
        dequantise(np.array([0.0, value], np.float32).tobytes(), [2], 32)


@pytest.mark.parametrize("bits", QUANT_BITS)
@given(data=st.binary(min_size=64, max_size=64))
def test_any_bytes_decode_to_sound_values_or_are_refused(bits, data):
    sizes = [3, 4]
    try:
        parts = dequantise(data[: encoded_bytes(sizes, bits)], sizes, bits)
    except UpdateFileError:
        return
    assert all(np.all(np.abs(part) <= 1.001e4) for part in parts)
