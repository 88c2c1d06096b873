"""The LDPC decoder against plain references, published and independent error rates, and itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldpc_reference import quantised_decode, sum_product_decode

from radio.modem.ldpc.base_graph import LiftedGraph
from radio.modem.ldpc.codec import LdpcCodec
from radio.modem.ldpc.decoder import MAX_ITERATIONS, decode
from radio.modem.ldpc.segmentation import Segmentation


class Link:
    """A codec, its graph, and noisy soft bits of it over real AWGN (QPSK is two of these per symbol)."""

    def __init__(self, number, info_bits, coded_bits, seed=1):
        self.codec = LdpcCodec(number, info_bits - 24, 2, coded_bits)
        self.graph = LiftedGraph.of(number, Segmentation.of(info_bits, number).lifting_size)
        self.rng = np.random.default_rng(seed)

    def info(self, blocks):
        return self.rng.integers(0, 2, (blocks, self.codec.info_bits), dtype=np.uint8)

    def mother(self, info, ebn0_db):
        """Soft bits at mother-code positions of one transmission."""
        coded = self.codec.encode(info)
        variance = self.codec.coded_bits / (2 * self.codec.info_bits * 10 ** (ebn0_db / 10))
        noise = self.rng.standard_normal(coded.shape, np.float32) * np.sqrt(variance)
        return self.codec.spread(((1 - 2.0 * coded + noise) * (2 / variance)).astype(np.float32))

    def failures(self, blocks, ebn0_db):
        info = self.info(blocks)
        decoded = self.codec.decode(self.mother(info, ebn0_db))
        return int(np.sum(~decoded.converged | np.any(decoded.info != info, axis=1)))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(1, 22 * 6), (1, 22 * 15 - 9), (2, 10 * 20 - 3), (2, 10 * 72)]),
    st.sampled_from([0.3, 0.5, 0.8]),
    st.floats(-2, 5),
    st.integers(0, 2**32 - 1),
)
def test_decoder_equals_the_plain_quantised_one_bit_for_bit(size, code_rate, ebn0_db, seed):
    number, info_bits = size
    link = Link(number, info_bits, 2 * round(info_bits / code_rate / 2), seed)
    mother = link.mother(link.info(2), ebn0_db)
    found = decode(link.graph, mother, info_bits, 6)
    for block in range(2):
        info, converged, iterations = quantised_decode(link.graph, mother[block], info_bits, 6)
        assert np.array_equal(found.info[block], info)
        assert (found.converged[block], found.iterations[block]) == (converged, iterations)


def test_decoder_loses_little_against_floating_point_sum_product():
    link = Link(2, 640, 1280, seed=3)
    info = link.info(40)
    mother = link.mother(info, 1.0)
    exact = np.array([sum_product_decode(link.graph, block, 640, MAX_ITERATIONS)[0] for block in mother])
    lost_exact = np.sum(np.any(exact != info, axis=1))
    assert 4 <= lost_exact <= 20
    assert np.sum(np.any(link.codec.decode(mother).info != info, axis=1)) <= lost_exact + 3


@pytest.mark.parametrize(("number", "info_bits", "coded_bits", "ebn0_db", "lost"), [
    (1, 8088, 16176, 0.8, 6 / 200),
    (1, 8088, 9100, 3.5, 33 / 200),
    (2, 2040, 4080, 0.9, 34 / 300),
    (2, 2040, 8160, 0.0, 33 / 300),
])  # fmt: skip
def test_blocks_fail_where_those_of_an_independent_decoder_do(number, info_bits, coded_bits, ebn0_db, lost):
    """Figures of sionna 2.2.0: LDPC5GEncoder and LDPC5GDecoder, box-plus, 40 flooding iterations, AWGN, QPSK."""
    link = Link(number, info_bits, coded_bits)
    assert link.failures(200, ebn0_db + 0.1) / 200 <= lost + 0.02
    assert link.failures(60, ebn0_db - 0.25) / 60 >= 0.4


def test_blocks_of_other_sizes_decode_where_a_plain_min_sum_decoder_does():
    """Base graph by the standard's rule; lost by a float min-sum decoder with 12 iterations: 12 % and 27 %."""
    assert Link(2, 1024, 2048).failures(200, 1.5) / 200 <= 0.12
    assert Link(1, 3840, 7680).failures(200, 1.5) / 200 <= 0.125
    assert Link(1, 3840, 5120).failures(200, 2.5) / 200 <= 0.275


def test_good_blocks_take_few_iterations_and_hopeless_ones_all():
    link = Link(1, 8088, 16176)
    info = link.info(8)
    mother = np.concatenate([link.mother(info[:4], 4.0), link.mother(info[4:], -2.0)])
    found = decode(link.graph, mother, 8088)
    assert np.array_equal(found.info[:4], info[:4])
    assert found.converged.tolist() == [True] * 4 + [False] * 4
    assert np.all(found.iterations[:4] <= 4)
    assert np.all(found.iterations[4:] == MAX_ITERATIONS)


@pytest.mark.parametrize("coded_bits", [8736, 16176, 26000, 60000])
def test_clean_blocks_decode_at_once_at_any_rate(coded_bits):
    link = Link(1, 8088, coded_bits)
    info = link.info(2)
    found = decode(link.graph, link.mother(info, 15.0), 8088)
    assert np.array_equal(found.info, info)
    assert found.iterations.max() <= 2


def test_repeated_bits_lower_the_snr_a_block_needs():
    once, four_times = Link(2, 2040, 2 * 2040), Link(2, 2040, 40000)
    at_same_energy_per_bit_on_the_air = 10 * np.log10(40000 / (2 * 2040))
    assert once.failures(10, 1.0 - 3.0) == 10
    assert four_times.failures(20, 1.0 - 3.0 + at_same_energy_per_bit_on_the_air) == 0


def test_two_noisy_copies_decode_where_each_fails():
    link = Link(1, 8088, 12000)
    info = link.info(6)
    first, second = link.mother(info, 0.0), link.mother(info, 0.0)
    assert not decode(link.graph, first, 8088).converged.any()
    assert not decode(link.graph, second, 8088).converged.any()
    both = decode(link.graph, first + second, 8088)
    assert both.converged.all()
    assert np.array_equal(both.info, info)


def test_transmissions_at_different_rates_and_modulations_combine():
    high, low = LdpcCodec(2, 2016, 6, 2400), LdpcCodec(2, 2016, 4, 4800)
    rng = np.random.default_rng(2)
    info = rng.integers(0, 2, (8, 2040), dtype=np.uint8)
    parts = []
    for codec, deviation in ((high, 0.9), (low, 1.3)):
        coded = codec.encode(info)
        noisy = 1 - 2.0 * coded + deviation * rng.standard_normal(coded.shape)
        parts.append(codec.spread((2 * noisy / deviation**2).astype(np.float32)))
    assert not any(codec.decode(part).converged.any() for codec, part in zip((high, low), parts, strict=True))
    combined = high.decode(parts[0] + parts[1])
    assert combined.converged.all()
    assert np.array_equal(combined.info, info)


def test_silence_and_noise_do_not_converge():
    link = Link(2, 2040, 2400)
    assert not link.codec.decode(np.zeros((2, link.codec.mother_bits), np.float32)).converged.any()
    noise = link.codec.spread(link.rng.standard_normal((500, 2400), np.float32) * 5)
    assert not link.codec.decode(noise).converged.any()


@pytest.mark.parametrize("deviation", [0.028, 0.032])
def test_noise_so_faint_that_hardly_a_soft_bit_is_left_does_not_converge(deviation):
    link = Link(1, 8088, 18432)
    faint = link.codec.spread(link.rng.standard_normal((200, 18432), np.float32) * np.float32(deviation))
    assert not link.codec.decode(faint).converged.any()


def test_blocks_are_decoded_one_by_one_the_same_as_together_and_again():
    link = Link(2, 2040, 4080)
    mother = link.mother(link.info(12), 1.0)
    together = decode(link.graph, mother, 2040)
    single = [decode(link.graph, block[None], 2040) for block in mother]
    for field in range(3):
        assert np.array_equal(together[field], np.concatenate([found[field] for found in single]))
    mother.flags.writeable = False
    assert np.array_equal(decode(link.graph, mother, 2040).info, together.info)
    assert decode(link.graph, mother[:0], 2040).info.shape == (0, 2040)
