"""Bursts that are not what was granted: cut short, sent twice, forged, replayed. None gets into an update."""

import numpy as np
import pytest

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.arq import ArqTracker
from radio.fragments import FragmentTagger
from radio.modem import burst_air_samples, receive
from radio.modem.trial import Impairments, Neighbour, Scene, branch, received
from radio.numerology import DEFAULT_2MSPS

SNR_DB = 12.0
MCS = "qpsk-1/2"
PER_FRAGMENT = 4
TAGGER = FragmentTagger(bytes(range(32)), "run", 5, "edge-1", 252)
FRAGMENTS = [random_stream(1, "strange", i).bytes(998) for i in range(4)]
BLOCKS = [block for i, fragment in enumerate(FRAGMENTS) for block in TAGGER.seal(i, fragment)]
GRANTED = DataBurst("edge-1", 500, 4, 8, MCS, list(range(len(BLOCKS))))
START = 1500.0


def heard(sent, blocks, scene=None, cut=1.0, wanted=GRANTED, tail=1500):
    """What the receiver, waiting for ``wanted``, makes of ``sent``; the burst stops after the share ``cut``."""
    rng = random_stream(2, "strange", sent.burst_id)
    impairments = Impairments(SNR_DB, START, cfo_hz=700.0, tail=tail)
    end = int(START + cut * burst_air_samples(sent, DEFAULT_2MSPS))

    def stops(samples):
        return np.where(np.arange(len(samples)) < end, samples, np.complex64(0))

    scene = scene or Scene(fading=stops)
    return receive(
        wanted,
        branch(wanted, received(rng, sent, blocks, impairments, DEFAULT_2MSPS, scene), DEFAULT_2MSPS),
        DEFAULT_2MSPS,
    )


def taken_in(report):
    """The base station's book-keeping after the burst."""
    tracker = ArqTracker(TAGGER, len(BLOCKS), PER_FRAGMENT, 3)
    tracker.received(tracker.next_blocks(len(BLOCKS)), report.blocks)
    assert all(fragment == FRAGMENTS[i] for i, fragment in tracker.fragments.items())
    return tracker


def test_the_granted_burst_is_taken_in_whole():
    tracker = taken_in(heard(GRANTED, BLOCKS))
    assert tracker.complete
    assert tracker.fragments_forged == 0


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_of_a_truncated_burst_the_blocks_that_were_sent_count_and_the_others_fail(cut):
    report = heard(GRANTED, BLOCKS, cut=cut)
    assert report.detected
    arrived = [block is not None for block in report.blocks]
    assert arrived.count(True) >= int(cut * len(BLOCKS)) - 2
    assert arrived.count(False) >= int((1 - cut) * len(BLOCKS)) - 1
    assert all(block in (None, sent) for block, sent in zip(report.blocks, BLOCKS, strict=True))
    assert taken_in(report).blocks_failed == arrived.count(False)


@pytest.mark.parametrize("lag", [4.4, 0.6])
def test_a_burst_sent_twice_counts_once_or_not_at_all(lag):
    """``lag``: of the second copy, in burst lengths (above 1: afterwards, below: on top of the first)."""
    air = burst_air_samples(GRANTED, DEFAULT_2MSPS)
    copy = Neighbour(GRANTED, BLOCKS, density_db=0.0, start=START + lag * air, cfo_hz=700.0)
    tracker = taken_in(heard(GRANTED, BLOCKS, Scene(neighbours=(copy,)), tail=int(5.6 * air)))
    assert tracker.blocks_sent == len(BLOCKS)
    assert tracker.complete or lag < 1


def test_another_clients_burst_in_the_granted_blocks_is_not_heard():
    stranger = DataBurst("edge-2", 501, 4, 8, MCS, GRANTED.block_ids)
    report = heard(stranger, BLOCKS)
    assert not report.detected
    assert taken_in(report).blocks_failed == len(BLOCKS)


def test_a_burst_replayed_from_an_earlier_window_is_not_heard():
    assert not heard(DataBurst("edge-1", 499, 4, 8, MCS, GRANTED.block_ids), BLOCKS).detected


@pytest.mark.parametrize(
    "tagger",
    [
        FragmentTagger(bytes(32), "run", 5, "edge-1", 252),
        FragmentTagger(bytes(range(32)), "run", 4, "edge-1", 252),
        FragmentTagger(bytes(range(32)), "run", 5, "edge-2", 252),
    ],
    ids=["without the key", "of an earlier round", "of another client"],
)
def test_a_perfect_imitation_with_blocks_that_are_not_this_grants_is_counted_as_forged(tagger):
    forged = [block for i, fragment in enumerate(FRAGMENTS) for block in tagger.seal(i, fragment)]
    report = heard(GRANTED, forged)
    assert report.blocks == forged
    tracker = taken_in(report)
    assert tracker.fragments == {}
    assert tracker.fragments_forged == len(FRAGMENTS)
