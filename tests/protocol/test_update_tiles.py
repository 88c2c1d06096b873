"""Tiles of single values: positions in the shortest code, and factors of many tiles."""

import numpy as np
import pytest
from adapter_support import encoded_file, equal
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import UpdateFileError
from protocol.update.components import Components
from protocol.update.files import decode_file
from protocol.update.indices import (
    BITMAP,
    LENGTH_BYTES,
    MAXIMUM_PARAMETER,
    best_coding,
    bitmap_bytes,
    gaps_of,
    read_positions,
    rice_bits,
    write_positions,
)
from protocol.update.tiles import TILE_VALUES, TileLayout

CODINGS = (*range(MAXIMUM_PARAMETER + 1), BITMAP)
taken = st.integers(1, TILE_VALUES).flatmap(
    lambda size: st.tuples(
        st.just(size),
        # Strays and a stretch: gaps of very unlike length.
        st.builds(
            lambda strays, stretch: strays | set(range(min(stretch, size))),
            st.sets(st.integers(0, size - 1), min_size=1, max_size=60),
            st.sampled_from([0, 0, 40, 400]),
        ),
    )
)


@given(taken, st.sampled_from(CODINGS))
def test_positions_survive_every_coding(case, coding):
    size, positions = case[0], np.array(sorted(case[1]))
    data = write_positions(positions, size, coding)
    assert np.array_equal(read_positions(data, len(positions), size, coding), positions)
    if coding != BITMAP:
        assert len(data) == (rice_bits(gaps_of(positions), coding) + 7) // 8


@given(taken, st.integers(0, 10**6), st.floats(0.001, 0.4))
def test_the_coding_chosen_is_the_shortest_of_all(case, seed, share):
    random = np.flatnonzero(np.random.default_rng(seed).random(TILE_VALUES) < share)
    for size, positions in ((case[0], np.array(sorted(case[1]))), (TILE_VALUES, np.append(random, TILE_VALUES - 1))):
        positions = np.unique(positions)
        lengths = {m: (rice_bits(gaps_of(positions), m) + 7) // 8 + LENGTH_BYTES for m in CODINGS[:-1]}
        coding, index_bytes = best_coding(positions, size)
        assert index_bytes + (coding != BITMAP) * LENGTH_BYTES == min(*lengths.values(), bitmap_bytes(size))
        assert index_bytes == len(write_positions(positions, size, coding))


def test_rice_codes_come_near_the_entropy_of_random_positions():
    rng, size = np.random.default_rng(0), TILE_VALUES
    for share in (0.01, 0.05, 0.15):
        positions = np.flatnonzero(rng.random(size) < share)
        entropy = -size * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
        coding, index_bytes = best_coding(positions, size)
        assert coding != BITMAP
        assert 8 * index_bytes < 1.12 * entropy


@given(taken, st.sampled_from(CODINGS), st.integers(0, 10**4), st.integers(1, 255))
def test_damaged_positions_are_refused_or_are_the_only_ones_of_that_code(case, coding, place, flips):
    size, positions = case[0], np.array(sorted(case[1]))
    data = bytearray(write_positions(positions, size, coding))
    data[place % len(data)] ^= flips
    for damaged in (bytes(data), bytes(data[:-1]), bytes(data) + b"\0"):
        try:
            got = read_positions(damaged, len(positions), size, coding)
        except UpdateFileError:
            continue
        assert np.all(np.diff(got) > 0)
        assert 0 <= got[0] <= got[-1] < size
        assert write_positions(got, size, coding) == damaged


def test_bits_after_the_last_position_are_refused():
    for coding in (0, 2, BITMAP):
        data = bytearray(write_positions(np.array([2, 5]), 21, coding))
        data[-1] |= 1
        with pytest.raises(UpdateFileError, match="damaged"):
            read_positions(bytes(data), 2, 21, coding)


def large_adapter(seed, scale):
    rng = np.random.default_rng(seed)
    shapes = {"m.lora_A.weight": (12, 700), "m.lora_B.weight": (500, 12)}
    return {name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("scheme", ["magnitude-top-k", "factor-top-k"])
def test_factors_of_many_tiles_lose_none_and_send_the_largest_values(scheme):
    base, delta = large_adapter(0, 1.0), large_adapter(1, 0.1)
    assert [tile.size for tile in TileLayout(Components(base), 8).tiles] == [4096, 4096, 208, 4096, 1904]
    whole = decode_file(encoded_file(base, delta, compression=scheme, quant_bits=32), base)
    assert equal(whole.delta, delta)
    part = decode_file(encoded_file(base, delta, 40_000, compression=scheme, quant_bits=32), base).delta
    groups = [list(part)] if scheme == "magnitude-top-k" else [[name] for name in part]
    for names in groups:
        sent = np.concatenate([part[n].ravel() != 0.0 for n in names])
        sizes = np.concatenate([np.abs(delta[n]).ravel() for n in names])
        assert 0.01 < sent.mean() < 0.3
        assert sizes[sent].min() >= sizes[~sent].max()
