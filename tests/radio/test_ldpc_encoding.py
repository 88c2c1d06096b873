"""Encoder and rate matching against the parity checks and an independent implementation."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldpc_peer import CASES, VECTORS, digest, fixed_bits, name_of, peer_words
from ldpc_reference import failing_checks

from radio.modem import McsTable
from radio.modem.codec import codec_for
from radio.modem.ldpc.base_graph import LIFTING_SETS, LiftedGraph
from radio.modem.ldpc.encoder import encode
from radio.modem.ldpc.rate_matching import RateMatching
from radio.modem.ldpc.segmentation import Segmentation

DIGESTS = json.loads(VECTORS.read_text("utf-8"))["digests"]
SIZES = sorted(size for sizes in LIFTING_SETS for size in sizes)
seeds = st.integers(0, 2**32 - 1)


def words(graph, info, rows):
    """Code words with the punctured columns put back."""
    punctured = 2 * graph.lifting_size
    return np.concatenate([info[:, :punctured], encode(graph, info, rows)], axis=1)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2]), st.sampled_from(SIZES), seeds, st.data())
def test_every_word_satisfies_every_parity_check(number, size, seed, data):
    graph = LiftedGraph.of(number, size)
    rows = data.draw(st.integers(4, graph.size.rows))
    info = np.random.default_rng(seed).integers(0, 2, (2, graph.size.information_columns * size), dtype=np.uint8)
    for word in words(graph, info, rows):
        assert failing_checks(graph, word) == 0


def test_a_flipped_bit_breaks_a_check():
    graph = LiftedGraph.of(2, 20)
    word = words(graph, np.ones((1, 200), np.uint8), 42)[0]
    word[77] ^= 1
    assert failing_checks(graph, word) > 0


def matching_of(number, info_bits, order, coded_bits):
    # what fills a lifting size exactly is its own segmentation; py3gpp's cases are all of that kind
    columns = 22 if number == 1 else 10
    graph = LiftedGraph.of(number, min(size for size in SIZES if columns * size >= info_bits))
    return graph, RateMatching(graph, info_bits, coded_bits, order)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_words_and_bits_on_the_air_are_those_of_an_independent_implementation(case):
    graph, matching = matching_of(*case)
    info = fixed_bits(*case[:2], count=case[1])[None]
    mother = encode(graph, info, graph.size.rows)
    assert [digest(mother[0]), digest(matching.select(mother)[0])] == DIGESTS[name_of(case)]
    assert np.array_equal(matching.select(encode(graph, info, matching.rows)), matching.select(mother))


def test_the_shipped_digests_are_still_what_the_independent_implementation_gives():
    pytest.importorskip("py3gpp")
    for case in CASES:
        assert [digest(bits) for bits in peer_words(*case)] == DIGESTS[name_of(case)]


def test_blocks_of_a_batch_do_not_mix():
    graph = LiftedGraph.of(2, 32)
    info = np.random.default_rng(5).integers(0, 2, (37, 300), dtype=np.uint8)
    assert np.array_equal(encode(graph, info, 9), np.concatenate([encode(graph, row[None], 9) for row in info]))
    assert encode(graph, info[:0], 9).shape == (0, (8 + 9) * 32)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2]), st.sampled_from([2, 4, 6, 8]), st.floats(0.02, 0.95), seeds)
def test_spread_is_the_adjoint_of_selection(number, order, code_rate, seed):
    info_bits = Segmentation.of(200, number).info_bits
    graph = LiftedGraph.of(number, Segmentation.of(200, number).lifting_size)
    matching = RateMatching(graph, info_bits, int(info_bits / code_rate / order) * order + order, order)
    rng = np.random.default_rng(seed)
    mother = rng.integers(0, 9, (2, graph.mother_bits)).astype(np.uint8)
    soft = rng.integers(-9, 9, (2, matching.coded_bits)).astype(np.float32)
    assert np.sum(matching.select(mother) * soft) == np.sum(mother * matching.spread(soft))


def test_all_but_filler_and_punctured_bits_are_sent_once_before_any_is_repeated():
    _, matching = matching_of(1, 8088, 4, 66 * 384 - 360)
    sent = np.sort(matching.positions)
    assert np.array_equal(sent, np.delete(np.arange(66 * 384), np.arange(8088 - 768, 8448 - 768)))


@pytest.mark.parametrize("codec", ["ldpc", "ldpc-short"])
def test_ladders_rise_and_their_blocks_have_the_size_the_table_says(codec):
    ladder = McsTable.load().of(codec)
    efficiencies = [scheme.bits_per_symbol * scheme.code_rate for scheme in ladder]
    assert efficiencies == sorted(efficiencies)
    for scheme in ladder[:: len(ladder) // 6]:
        code = codec_for(scheme)
        info = np.zeros((1, code.info_bits), np.uint8)
        assert code.encode(info).shape == (1, scheme.block_coded_bits)
        assert code.mother_bits == codec_for(ladder[0]).mother_bits
