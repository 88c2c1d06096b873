"""Update files: whole ones decode to the codes that were sent, all others are refused."""

import struct
import zlib

import numpy as np
import pytest
from adapter_support import b_only, encoded_file, equal, random_base, random_change
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.adapters import add
from protocol.errors import UpdateFileError
from protocol.update.components import Components
from protocol.update.files import (
    HEADER_BYTES,
    EnergyTable,
    Header,
    decode_file,
    header_bytes,
    read_header,
    read_table,
    record_offsets,
    write_file,
)

BASE = random_base()
DELTA = random_change(BASE)


def resealed(data: bytes) -> bytes:
    """The same bytes with a CRC that holds: what an attacker, not the channel, would send."""
    start, body = data[: HEADER_BYTES - 4], data[HEADER_BYTES:]
    return start + struct.pack("<I", zlib.crc32(start + body)) + body


@pytest.mark.parametrize("annotated", [False, True])
def test_a_whole_file_at_32_bits_returns_the_change_bit_for_bit(annotated):
    decoded = decode_file(encoded_file(BASE, DELTA, quant_bits=32, annotated=annotated), BASE)
    assert equal(decoded.delta, DELTA)
    assert len(decoded.components) == len(Components(BASE))
    assert decoded.lora_values == Components(BASE).lora_values


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_coarser_files_return_the_change_to_one_step(bits):
    decoded = decode_file(encoded_file(BASE, DELTA, quant_bits=bits), BASE)
    components = Components(BASE)
    for index in decoded.components:
        sent, got = components.gather(DELTA, index), components.gather(decoded.delta, index)
        for whole, coarse in zip(sent, got, strict=True):
            assert np.max(np.abs(coarse - whole)) <= np.max(np.abs(whole)) / (2 ** (bits - 1) - 1) * 1.001


def test_frozen_a_halves_the_file_and_leaves_a_alone():
    delta = b_only(DELTA)
    frozen = encoded_file(BASE, delta, quant_bits=32, frozen="a")
    assert equal(decode_file(frozen, BASE).delta, delta)
    a_values = sum(v.size for n, v in BASE.items() if "lora_A" in n)
    assert len(frozen) == len(encoded_file(BASE, DELTA, quant_bits=32)) - 4 * a_values


def test_record_offsets_lead_from_the_header_to_the_end():
    file = encoded_file(BASE, DELTA)
    offsets = record_offsets(file, BASE)
    assert offsets[0] == HEADER_BYTES
    assert offsets[-1] == len(file)
    assert len(offsets) == read_header(file).records + 1


def test_another_base_is_refused():
    other = add(BASE, {n: np.full(v.shape, 1e-3, np.float32) for n, v in BASE.items()})
    with pytest.raises(UpdateFileError, match="another base"):
        decode_file(encoded_file(BASE, DELTA), other)


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("bits", [4, 32])
def test_every_single_bit_flip_is_noticed(annotated, bits):
    file = bytearray(encoded_file(BASE, DELTA, quant_bits=bits, annotated=annotated, budget_bits=3000))
    for position in range(8 * len(file)):
        file[position // 8] ^= 1 << position % 8
        with pytest.raises(UpdateFileError):
            decode_file(bytes(file), BASE)
        file[position // 8] ^= 1 << position % 8


def test_every_truncation_and_any_appendix_is_noticed():
    file = encoded_file(BASE, DELTA, budget_bits=4000)
    for damaged in [*(file[:size] for size in range(len(file))), file + b"\0", file + file]:
        with pytest.raises(UpdateFileError):
            decode_file(damaged, BASE)


@given(st.binary(max_size=120))
@example(b"PK\x03\x04" + bytes(60))
def test_foreign_bytes_are_refused(data):
    with pytest.raises(UpdateFileError):
        decode_file(data, BASE)
    with pytest.raises(UpdateFileError):
        read_table(data)


@given(edits=st.lists(st.tuples(st.integers(4, 260), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_malicious_file_with_a_valid_checksum_decodes_soundly_or_is_refused(edits):
    file = bytearray(encoded_file(BASE, DELTA, budget_bits=2500, annotated=True))
    for position, value in edits:
        file[position % len(file)] = value
    for read in (lambda data: decode_file(data, BASE), read_table):
        try:
            result = read(resealed(bytes(file)))
        except UpdateFileError:
            continue
        if read is not read_table:
            assert result.delta.keys() == BASE.keys()
            assert all(np.all(np.abs(v) <= 1.001e4) for v in result.delta.values())


def test_a_component_sent_twice_and_one_that_does_not_exist_are_refused():
    file = encoded_file(BASE, DELTA)
    header, offsets = read_header(file), record_offsets(file, BASE)
    first = file[offsets[0] : offsets[1]]
    twice = Header(header.quant_bits, "none", False, header.base_digest, 2)
    with pytest.raises(UpdateFileError, match="twice"):
        decode_file(write_file(twice, [first, first]), BASE)
    beyond = len(Components(BASE))
    for number in (beyond, 200):
        with pytest.raises(UpdateFileError, match=f"component {number} does not exist"):
            decode_file(write_file(twice, [bytes([number]) + first[1:], first]), BASE)


def test_a_header_that_promises_other_records_is_refused():
    file = encoded_file(BASE, DELTA)
    header = read_header(file)
    wrong = Header(header.quant_bits, "none", False, header.base_digest, header.records + 1)
    with pytest.raises(UpdateFileError, match="number of records"):
        decode_file(write_file(wrong, [file[HEADER_BYTES:]] + [b""] * header.records), BASE)


def test_a_huge_record_count_allocates_nothing():
    header = Header(8, "none", True, b"12345678", 3)
    table = EnergyTable(1.0, 9, np.zeros(3), np.zeros(3, np.int64))
    file = bytearray(write_file(header, [b"", b"", b""], table))
    file[15:19] = b"\xff\xff\xff\xff"
    with pytest.raises(UpdateFileError, match="cut off"):
        read_table(resealed(bytes(file)))


def test_the_table_of_energies_is_read_without_the_base():
    header, table = read_table(encoded_file(BASE, DELTA, annotated=True))
    assert header.records == table.components_total == len(Components(BASE))
    assert table.energies.sum() == pytest.approx(table.total_energy, rel=1e-3)


def test_an_empty_update_is_a_header():
    for annotated in (False, True):
        file = encoded_file(BASE, DELTA, budget_bits=8 * header_bytes(annotated), annotated=annotated)
        assert len(file) == header_bytes(annotated)
        assert not any(np.any(v) for v in decode_file(file, BASE).delta.values())
