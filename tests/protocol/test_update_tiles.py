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
    lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1), min_size=1, max_size=60))
)


@given(taken, st.sampled_from(CODINGS))
def test_positions_survive_every_coding(case, coding):
    size, positions = case[0], np.array(sorted(case[1]))
    data = write_positions(positions, size, coding)
    assert np.array_equal(read_positions(data, len(positions), size, coding), positions)
    if coding != BITMAP:
        assert len(data) == (rice_bits(gaps_of(positions), coding) + 7) // 8


@given(taken)
def test_the_coding_chosen_is_the_shortest_of_all(case):
    size, positions = case[0], np.array(sorted(case[1]))
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


@given(st.binary(max_size=40), st.integers(1, 50), st.sampled_from(CODINGS))
def test_any_bytes_are_refused_or_give_ascending_positions_in_the_tile(data, count, coding):
    try:
        positions = read_positions(data, count, 200, coding)
    except UpdateFileError:
        return
    assert len(positions) == count
    assert np.all(np.diff(positions) > 0)
    assert 0 <= positions[0] <= positions[-1] < 200
    assert write_positions(positions, 200, coding) == data


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
