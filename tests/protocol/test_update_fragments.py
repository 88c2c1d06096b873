"""Fragments: whatever arrives decodes to exactly the components that arrived whole."""

import numpy as np
import pytest
from adapter_support import b_only, encoded_file, equal, random_base, random_change
from hypothesis import given
from hypothesis import strategies as st

from protocol.adapters import zeros_like
from protocol.errors import UpdateFileError
from protocol.update.components import Components
from protocol.update.files import decode_file, record_offsets
from protocol.update.fragments import FRAGMENT_HEADER_BYTES, cut_fragments, fragment_count, join_fragments

BASE = random_base()
DELTA = random_change(BASE)
SIZES = (25, 32, 41, 64, 300, 65535)


def joined(fragments, file, size, bits=8, base=BASE, **options):
    return join_fragments(
        fragments, payload_bytes=len(file), fragment_bytes=size, base=base, quant_bits=bits, **options
    )


def plainly_delivered(file, arrived, size, base=BASE):
    """Reference: decode the whole file, keep the records that lie in arrived bytes."""
    have = np.zeros(len(file), bool)
    piece = size - FRAGMENT_HEADER_BYTES
    for index in arrived:
        have[index * piece : (index + 1) * piece] = True
    offsets, whole = record_offsets(file, base), decode_file(file, base)
    kept = [c for c, a, b in zip(whole.components, offsets, offsets[1:], strict=False) if have[a:b].all()]
    components, delta = Components(base), zeros_like(base)
    for index in kept:
        components.scatter(delta, index, components.gather(whole.delta, index))
    return tuple(kept), delta


@given(st.sampled_from(SIZES), st.sampled_from([4, 8, 16, 32]), st.data())
def test_any_set_of_fragments_decodes_to_the_components_that_arrived_whole(size, bits, data):
    file = encoded_file(BASE, DELTA, quant_bits=bits)
    fragments = cut_fragments(file, size, BASE)
    assert len(fragments) == fragment_count(len(file), size)
    arrived = data.draw(st.sets(st.integers(0, len(fragments) - 1)))
    got = joined({i: fragments[i] for i in arrived}, file, size, bits)
    components, delta = plainly_delivered(file, arrived, size)
    assert got.components == components
    assert equal(got.delta, delta)


def test_every_fragment_but_the_last_is_full_and_the_file_is_cut_in_order():
    file = encoded_file(BASE, DELTA)
    fragments = cut_fragments(file, 64, BASE)
    assert {len(f) for f in fragments[:-1]} == {64}
    assert b"".join(f[FRAGMENT_HEADER_BYTES:] for f in fragments) == file


def test_a_lost_first_fragment_costs_only_its_own_components():
    file = encoded_file(BASE, DELTA)
    fragments = dict(enumerate(cut_fragments(file, 200, BASE)))
    whole = joined(fragments, file, 200).components
    del fragments[0]
    rest = joined(fragments, file, 200).components
    assert rest == whole[-len(rest) :]
    assert 0 < len(whole) - len(rest) < 12


def test_zero_padding_after_the_last_fragment_is_ignored_and_other_padding_refused():
    file = encoded_file(BASE, DELTA)
    fragments = dict(enumerate(cut_fragments(file, 64, BASE)))
    last = max(fragments)
    short = fragments[last]
    fragments[last] = short + bytes(64 - len(short))
    assert len(joined(fragments, file, 64).components) == len(Components(BASE))
    fragments[last] = short + b"\x01"
    with pytest.raises(UpdateFileError, match="length"):
        joined(fragments, file, 64)


def test_an_update_of_frozen_a_decodes_without_its_header():
    file = encoded_file(BASE, b_only(DELTA), frozen="a")
    fragments = dict(enumerate(cut_fragments(file, 64, BASE)))
    del fragments[0]
    got = joined(fragments, file, 64, frozen="a")
    assert got.components
    assert not any(np.any(v) for n, v in got.delta.items() if "lora_A" in n)


def test_silence_has_no_fragments_and_nothing_arriving_changes_nothing():
    assert cut_fragments(b"", 64, BASE) == []
    assert equal(joined({}, b"", 64).delta, zeros_like(BASE))
    file = encoded_file(BASE, DELTA)
    assert equal(joined({}, file, 64).delta, zeros_like(BASE))


def test_the_header_is_checked_when_it_arrives():
    file = encoded_file(BASE, DELTA, budget_bits=1500)
    first = {0: cut_fragments(file, 64, BASE)[0]}
    with pytest.raises(UpdateFileError, match="another base"):
        joined(first, file, 64, base=random_base(seed=5))
    with pytest.raises(UpdateFileError, match="contradicts the experiment"):
        joined(first, file, 64, bits=16)
    with pytest.raises(UpdateFileError, match="contradicts the experiment"):
        joined(first, file, 64, frozen="a")


def test_an_announced_size_or_index_beyond_the_base_is_refused():
    file = encoded_file(BASE, DELTA, quant_bits=8)
    with pytest.raises(UpdateFileError, match="at most"):
        join_fragments({}, payload_bytes=2**40, fragment_bytes=64, base=BASE, quant_bits=8)
    for index in (-1, 10**6):
        with pytest.raises(UpdateFileError, match="does not exist"):
            joined({index: bytes(64)}, file, 64)


def test_files_with_a_table_of_energies_are_not_sent_by_radio():
    with pytest.raises(ValueError, match="table"):
        cut_fragments(encoded_file(BASE, DELTA, annotated=True), 64, BASE)


@given(st.sampled_from([32, 64]), st.dictionaries(st.integers(-1, 40), st.binary(max_size=66), max_size=4))
def test_garbage_fragments_are_refused_or_decode_soundly(size, garbage):
    file = encoded_file(BASE, DELTA)
    try:
        got = joined(garbage, file, size)
    except UpdateFileError:
        return
    assert all(np.all(np.abs(v) <= 1.001e4) for v in got.delta.values())


@given(st.data())
def test_a_tampered_fragment_among_good_ones_is_refused_or_decodes_soundly(data):
    file = encoded_file(BASE, DELTA)
    fragments = cut_fragments(file, 64, BASE)
    arrived = data.draw(st.sets(st.integers(0, len(fragments) - 1), min_size=1))
    pieces = {i: bytearray(fragments[i]) for i in arrived}
    for _ in range(data.draw(st.integers(1, 4))):
        piece = pieces[data.draw(st.sampled_from(sorted(arrived)))]
        piece[data.draw(st.integers(0, len(piece) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = joined({i: bytes(p) for i, p in pieces.items()}, file, 64)
    except UpdateFileError:
        return
    assert all(np.all(np.abs(v) <= 1.001e4) for v in got.delta.values())
    assert len(set(got.components)) == len(got.components)


def test_a_flipped_bit_is_noticed_when_everything_arrived():
    file = encoded_file(BASE, DELTA)
    fragments = dict(enumerate(cut_fragments(file, 64, BASE)))
    damaged = bytearray(fragments[3])
    damaged[20] ^= 4
    with pytest.raises(UpdateFileError):
        joined({**fragments, 3: bytes(damaged)}, file, 64)


def test_fragments_that_contradict_each_other_are_refused():
    file = encoded_file(BASE, DELTA)
    fragments = dict(enumerate(cut_fragments(file, 40, BASE)))
    del fragments[0]
    for index in sorted(fragments)[1:]:
        offset = int.from_bytes(fragments[index][:2], "little")
        shifted = (offset + 1 if offset != 0xFFFF else 0).to_bytes(2, "little") + fragments[index][2:]
        with pytest.raises(UpdateFileError):
            joined({**fragments, index: shifted}, file, 40)


def test_an_announced_size_that_cuts_the_last_record_is_refused():
    file = encoded_file(BASE, DELTA)
    fragments = dict(enumerate(cut_fragments(file, 64, BASE)))
    last = max(fragments)
    tail = {last: fragments[last][:-1], last - 1: fragments[last - 1]}
    with pytest.raises(UpdateFileError, match="cut off"):
        joined(tail, file[:-1], 64)
