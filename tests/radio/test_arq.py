import numpy as np

from radio.arq import ArqTracker, delivered_indices
from radio.fragments import FragmentTagger

PER_FRAGMENT = 4
TAGGER = FragmentTagger(bytes(range(32)), "run", 1, "jetson-1", 252)


def make_blocks(fragment_sizes):
    fragments = [bytes([i + 1]) * size for i, size in enumerate(fragment_sizes)]
    return fragments, [block for i, f in enumerate(fragments) for block in TAGGER.seal(i, f)]


def make_tracker(blocks, max_passes=6):
    return ArqTracker(TAGGER, len(blocks), PER_FRAGMENT, max_passes)


def test_without_losses_everything_arrives_in_one_pass():
    fragments, blocks = make_blocks([990, 990, 100])
    tracker = make_tracker(blocks)
    while ids := tracker.next_blocks(3):
        tracker.received(ids, [blocks[i] for i in ids])
    assert tracker.complete
    assert tracker.pass_index == 0
    assert [tracker.fragments[i] for i in range(3)] == fragments
    assert tracker.blocks_sent == len(blocks)


def test_only_failed_blocks_are_sent_again():
    _, blocks = make_blocks([990, 990])
    tracker = make_tracker(blocks)
    ids = tracker.next_blocks(100)
    tracker.received(ids, [None if i in (2, 5) else blocks[i] for i in ids])
    assert tracker.next_blocks(100) == [2, 5]
    assert tracker.pass_index == 1
    assert not tracker.complete


def test_half_the_blocks_lost_still_ends_complete_or_out_of_passes():
    rng = np.random.default_rng(4)
    fragments, blocks = make_blocks([990] * 10)
    tracker = make_tracker(blocks, max_passes=12)
    while ids := tracker.next_blocks(7):
        tracker.received(ids, [blocks[i] if rng.random() < 0.5 else None for i in ids])
    assert tracker.complete
    assert [tracker.fragments[i] for i in range(10)] == fragments
    assert tracker.blocks_failed == tracker.blocks_sent - len(blocks)


def test_passes_are_limited():
    _, blocks = make_blocks([990])
    tracker = make_tracker(blocks, max_passes=3)
    sent = 0
    while ids := tracker.next_blocks(100):
        sent += len(ids)
        tracker.received(ids, [None] * len(ids))
    assert sent == 3 * len(blocks)
    assert tracker.delivered_bitmap() == b"\0"


def test_a_forged_fragment_is_counted_and_asked_for_again():
    _, blocks = make_blocks([990, 990])
    forged = FragmentTagger(bytes(32), "run", 1, "jetson-1", 252).seal(0, bytes(990))
    tracker = make_tracker(blocks)
    ids = tracker.next_blocks(100)
    tracker.received(ids, [*forged, *blocks[PER_FRAGMENT:]])
    assert tracker.fragments_forged == 1
    assert sorted(tracker.fragments) == [1]
    assert tracker.next_blocks(100) == list(range(PER_FRAGMENT))


def test_the_bitmap_names_what_arrived():
    _, blocks = make_blocks([990] * 11)
    tracker = make_tracker(blocks, max_passes=1)
    ids = tracker.next_blocks(1000)
    tracker.received(ids, [None if i // PER_FRAGMENT in (0, 9) else blocks[i] for i in ids])
    assert delivered_indices(tracker.delivered_bitmap(), 11) == [1, 2, 3, 4, 5, 6, 7, 8, 10]
