"""Base graphs, segmentation and CRC against the figures of TS 38.212."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import DataError
from radio.modem.ldpc import base_graph
from radio.modem.ldpc.base_graph import DIMENSIONS, LIFTING_SETS, LiftedGraph
from radio.modem.ldpc.crc import CRC24B, crc24b
from radio.modem.ldpc.segmentation import Segmentation

SIZES = sorted(size for sizes in LIFTING_SETS for size in sizes)


@pytest.mark.parametrize(("number", "columns", "rows", "edges", "core_degrees"), [
    (1, 68, 46, 316, [19, 19, 19, 19, 3]),
    (2, 52, 42, 197, [8, 10, 8, 10, 4]),
])  # fmt: skip
def test_base_graphs_have_the_standards_size(number, columns, rows, edges, core_degrees):
    graph = LiftedGraph.of(number, 384)
    assert (graph.size.columns, graph.size.rows, len(graph.columns)) == (columns, rows, edges)
    assert np.diff(graph.row_start)[:5].tolist() == core_degrees
    assert graph.mother_bits == (columns - 2) * 384


def test_first_edges_have_the_shifts_of_the_standards_tables():
    by_set = [LiftedGraph.of(1, sizes[-1]).shifts[:2].tolist() for sizes in LIFTING_SETS]
    assert by_set == [[250, 69], [307, 19], [73, 15], [223, 16], [211, 198], [294, 118], [0, 0], [135, 227]]
    by_set = [LiftedGraph.of(2, sizes[-1]).shifts[:2].tolist() for sizes in LIFTING_SETS]
    assert by_set == [[9, 117], [174, 97], [0, 0], [72, 110], [3, 26], [156, 143], [143, 19], [145, 131]]


def test_there_are_51_lifting_sizes_a_times_a_power_of_two():
    factors = [2, 3, 5, 7, 9, 11, 13, 15]
    assert sorted({a << j for a in factors for j in range(8) if a << j <= 384}) == SIZES
    assert [min(sizes) for sizes in LIFTING_SETS] == factors


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("size", [2, 26, 104, 240, 384])
def test_every_row_but_the_first_ends_in_its_own_parity_column(number, size):
    graph = LiftedGraph.of(number, size)
    first = DIMENSIONS[number].information_columns
    for row in range(4, graph.size.rows):
        assert graph.edges(row)[-1] == (first + row, 0)
    for row in range(3):
        assert graph.edges(row)[-1] == (first + row + 1, 0)
    assert graph.shifts.max() < size


def test_a_damaged_table_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(base_graph, "DATA", tmp_path)
    (tmp_path / "nr_ldpc_base_graph_1.csv").write_text("row,column\n0,x\n")
    LiftedGraph.of.cache_clear()
    with pytest.raises(DataError, match=r"nr_ldpc_base_graph_1\.csv"):
        LiftedGraph.of(1, 6)
    with pytest.raises(DataError, match=r"nr_ldpc_base_graph_2\.csv"):
        LiftedGraph.of(2, 6)


@pytest.mark.parametrize(("transport_bits", "number", "expected"), [
    (8088, 1, (1, 8088, 384, 360)),
    (2040, 2, (1, 2040, 208, 40)),
    (8448, 1, (1, 8448, 384, 0)),
    (8480, 1, (2, 4264, 208, 312)),
    (3840, 2, (1, 3840, 384, 0)),
    (3841, 2, (2, 1945, 208, 135)),
    (640, 2, (1, 640, 72, 80)),
    (560, 2, (1, 560, 72, 160)),
    (192, 2, (1, 192, 32, 128)),
])  # fmt: skip
def test_segmentation_follows_the_standard(transport_bits, number, expected):
    cut = Segmentation.of(transport_bits, number)
    assert (cut.blocks, cut.info_bits, cut.lifting_size, filler_bits(cut)) == expected


@given(st.integers(12, 100_000), st.sampled_from([1, 2]))
def test_segments_hold_all_bits_in_blocks_the_graph_can_code(transport_bits, number):
    cut = Segmentation.of(transport_bits, number)
    crc_bits = 24 if cut.blocks > 1 else 0
    assert cut.blocks * (cut.info_bits - crc_bits) >= transport_bits
    assert filler_bits(cut) >= 0
    assert cut.info_bits <= {1: 8448, 2: 3840}[number]
    assert cut.lifting_size in SIZES


def filler_bits(cut):
    """Zeros that fill up the information columns."""
    return DIMENSIONS[cut.base_graph].information_columns * cut.lifting_size - cut.info_bits


def test_the_crc_gives_its_published_check_value():
    assert crc24b(np.frombuffer(b"123456789", np.uint8)[None])[0] == 0x23EF52


@given(st.lists(st.binary(min_size=5, max_size=5), min_size=1, max_size=4))
def test_crcs_are_the_remainders_of_a_long_division(messages):
    rows = np.frombuffer(b"".join(messages), np.uint8).reshape(-1, 5)
    assert crc24b(rows).tolist() == [long_division(message) for message in messages]


def long_division(message):
    remainder = int.from_bytes(message, "big") << 24
    for place in range(len(message) * 8 - 1, -1, -1):
        if remainder >> (place + 24) & 1:
            remainder ^= (1 << 24 | CRC24B) << place
    return remainder
