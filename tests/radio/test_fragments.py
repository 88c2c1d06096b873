import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.update.fragments import MAXIMUM_FRAGMENT_BYTES
from radio.fragments import ForgedFragmentError, FragmentTagger, blocks_per_fragment, payload_share

KEY = bytes(range(32))
TAGGER = FragmentTagger(KEY, "run", 3, "jetson-1", 252)


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 1000))
def test_a_sealed_fragment_opens_to_itself(fragment, index):
    blocks = TAGGER.seal(index, fragment)
    assert len(blocks) == blocks_per_fragment(len(fragment), 252)
    assert TAGGER.open(index, blocks) == fragment


def test_the_largest_fragment_of_an_update_can_be_sealed():
    fragment = bytes(MAXIMUM_FRAGMENT_BYTES)
    assert TAGGER.open(0, TAGGER.seal(0, fragment)) == fragment


@given(st.integers(0, 2014), st.integers(0, 7))
def test_any_flipped_bit_is_a_forgery(position, bit):
    blocks = TAGGER.seal(5, bytes(2006))
    frame = bytearray(b"".join(blocks))
    frame[position] ^= 1 << bit
    with pytest.raises(ForgedFragmentError):
        TAGGER.open(5, [bytes(frame)])


@pytest.mark.parametrize(
    "other",
    [
        FragmentTagger(bytes(32), "run", 3, "jetson-1", 252),
        FragmentTagger(KEY, "another run", 3, "jetson-1", 252),
        FragmentTagger(KEY, "run", 4, "jetson-1", 252),
        FragmentTagger(KEY, "run", 3, "jetson-2", 252),
    ],
    ids=["key", "run", "round", "client"],
)
def test_a_fragment_replayed_from_elsewhere_is_a_forgery(other):
    with pytest.raises(ForgedFragmentError):
        TAGGER.open(0, other.seal(0, b"update"))


def test_a_fragment_in_anothers_place_is_a_forgery():
    with pytest.raises(ForgedFragmentError):
        TAGGER.open(1, TAGGER.seal(0, b"update"))


def test_the_default_fragment_fills_its_blocks():
    assert blocks_per_fragment(2006, 252) == 8
    assert blocks_per_fragment(2006, 1008) == 2
    assert blocks_per_fragment(2007, 252) == 9
    assert payload_share(2006, 252) == pytest.approx(2006 / 2016)
