import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import ConfigurationError
from protocol.random_streams import random_stream
from radio.modem.codec import ERASURE, POLYNOMIALS, codec_for
from radio.modem.constellations import Constellation
from radio.modem.crc import append_crc, crc_holds, crc_mask
from radio.modem.mcs import BLOCK_FORMATS, McsTable
from radio.modem.scrambling import interleaver, scrambling_bits

BITS_PER_SYMBOL = [1, 2, 4, 6, 8]
INFO_BITS = BLOCK_FORMATS["convolutional"].info_bits
CONVOLUTIONAL = [scheme.name for scheme in McsTable.load().of("convolutional")]


def all_patterns(bits_per_symbol):
    index = np.arange(1 << bits_per_symbol)[:, None]
    return ((index >> np.arange(bits_per_symbol)[::-1]) & 1).astype(np.uint8)


def brute_force_soft_bits(symbol, snr, bits_per_symbol):
    """The max-log formula over every point of the constellation."""
    patterns = all_patterns(bits_per_symbol)
    points = Constellation.of(bits_per_symbol).points(patterns.ravel())
    metric = -snr * np.abs(symbol - points) ** 2
    return [metric[patterns[:, bit] == 0].max() - metric[patterns[:, bit] == 1].max() for bit in range(bits_per_symbol)]


def plain_encoder(info):
    """Shift register, tail of zeros, polynomials read most significant tap = newest bit last."""
    register = 0
    coded = []
    for bit in [*info, *([0] * 6)]:
        register = ((register << 1) | int(bit)) & 0x7F
        coded += [bin(register & polynomial).count("1") & 1 for polynomial in POLYNOMIALS]
    return coded


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_constellations_have_unit_energy_and_gray_neighbours(bits_per_symbol):
    patterns = all_patterns(bits_per_symbol)
    points = Constellation.of(bits_per_symbol).points(patterns.ravel())
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1.0, abs=1e-6)
    distance = np.abs(points[:, None] - points[None, :]) + 10.0 * np.eye(len(points))
    near_a, near_b = np.nonzero(distance < distance.min() * 1.001)
    assert np.all(np.sum(patterns[near_a] != patterns[near_b], axis=1) == 1)


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_soft_bits_equal_the_brute_force_formula(bits_per_symbol):
    rng = random_stream(1, "soft bits", bits_per_symbol)
    symbols = (rng.standard_normal(50) + 1j * rng.standard_normal(50)).astype(np.complex64)
    snr = rng.uniform(0.1, 100.0, 50).astype(np.float32)
    soft = Constellation.of(bits_per_symbol).soft_bits(symbols, snr)
    expected = [brute_force_soft_bits(s, r, bits_per_symbol) for s, r in zip(symbols, snr, strict=True)]
    np.testing.assert_allclose(soft, expected, rtol=1e-3, atol=1e-3)


def test_the_convolutional_encoder_is_the_textbook_shift_register():
    info = random_stream(1, "encoder").integers(0, 2, (2, INFO_BITS)).astype(np.uint8)
    coded = codec_for(McsTable.load()["bpsk-1/2"]).encode(info)
    np.testing.assert_array_equal(coded, [plain_encoder(row) for row in info])


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_codec_corrects_errors_and_has_the_length_the_table_says(name):
    scheme = McsTable.load()[name]
    codec = codec_for(scheme)
    rng = random_stream(2, "codec", name)
    info = rng.integers(0, 2, (4, codec.info_bits)).astype(np.uint8)
    coded = codec.encode(info)
    assert coded.shape == (4, scheme.block_coded_bits)
    soft = (1.0 - 2.0 * coded).astype(np.float32)
    noise = rng.standard_normal(soft.shape) * (0.5 if scheme.code_rate == 0.5 else 0.35)
    noisy = (soft + noise).astype(np.float32)
    assert np.count_nonzero((noisy < 0.0) != coded) >= 10
    np.testing.assert_array_equal(codec.decode(codec.spread(noisy)).info, info)


def test_the_code_rate_after_puncturing_is_the_nominal_one():
    for scheme in McsTable.load().schemes:
        assert BLOCK_FORMATS[scheme.codec].info_bits / scheme.block_coded_bits == pytest.approx(
            scheme.code_rate, rel=0.005
        )


def test_erased_bits_favour_neither_value():
    codec = codec_for(McsTable.load()["qpsk-1/2"])
    info = random_stream(3, "erasures").integers(0, 2, (1, codec.info_bits)).astype(np.uint8)
    soft = (1.0 - 2.0 * codec.encode(info)).astype(np.float32)
    soft[:, ::5] = 0.0
    np.testing.assert_array_equal(codec.decode(codec.spread(soft)).info, info)
    assert ERASURE == 128


@settings(max_examples=30, deadline=None)
@given(
    st.binary(min_size=1, max_size=252), st.sampled_from([24, 32]), st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1), st.data(),
)  # fmt: skip
def test_crc_holds_for_its_own_burst_and_content_only(payload, crc_bits, burst_id, other_id, data):
    size = crc_bits // 8

    def unmasked(block, burst):
        return np.concatenate([block[:, :-size], block[:, -size:] ^ crc_mask(crc_bits, burst)], axis=1)

    framed = append_crc(np.frombuffer(payload, np.uint8)[None], crc_bits, burst_id)
    assert framed[0, :-size].tobytes() == payload
    assert crc_holds(unmasked(framed, burst_id), crc_bits).all()
    if other_id != burst_id:
        assert not crc_holds(unmasked(framed, other_id), crc_bits).any()
    bit = data.draw(st.integers(0, 8 * framed.size - 1))
    framed[0, bit // 8] ^= 1 << bit % 8
    assert not crc_holds(unmasked(framed, burst_id), crc_bits).any()


def test_interleaver_and_scrambler_depend_on_the_burst_id_and_repeat():
    assert sorted(interleaver(5, 1000)) == list(range(1000))
    symbols = interleaver(5, 1000, together=4).reshape(-1, 4)
    in_phase_and_quadrature_in_turn = symbols[:, [0, 2, 1, 3]]
    assert np.all(np.diff(in_phase_and_quadrature_in_turn, axis=1) == 1)
    assert sorted(symbols[:, 0]) == list(range(0, 1000, 4))
    np.testing.assert_array_equal(interleaver(5, 1000), interleaver(5, 1000))
    assert not np.array_equal(interleaver(5, 1000), interleaver(6, 1000))
    bits = scrambling_bits(5, 10001)
    assert len(bits) == 10001
    assert abs(np.mean(bits) - 0.5) < 0.03
    assert abs(np.mean(bits != scrambling_bits(6, 10001)) - 0.5) < 0.03


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("qpsk-450", "qpsk-449, qpsk-415, qpsk-487"), ("16qam-700-short", "16qam-658-short, 16qam-772-short")],
)
def test_an_unknown_rate_is_answered_with_the_nearest_rates(name, nearest):
    with pytest.raises(ConfigurationError, match=f"the nearest are {nearest}"):
        McsTable.load()[name]


def test_an_unknown_mcs_is_named_with_the_nearest_ones():
    with pytest.raises(ConfigurationError, match=r"unknown MCS '64qam-2/4'; the nearest are .*64qam-3/4"):
        McsTable.load()["64qam-2/4"]
