"""The ether's book-keeping of a window: whose samples count."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from radio_lab import lab_experiment

from protocol.bursts import Window
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.ether import HEADER_LIMIT, DeliveryHeader, EtherWindow, RefusedDelivery, delivery_frames

EXPERIMENT = lab_experiment((10.0, 15.0, 20.0))
WINDOW = Window("today", 2, 7, "data", 4096)


def samples(seed=0):
    rng = np.random.default_rng(seed)
    burst = np.zeros(WINDOW.n_samples, np.complex64)
    burst[1100:3000] = 0.5 * (rng.standard_normal(1900) + 1j * rng.standard_normal(1900))
    return burst


def window(*expected):
    return EtherWindow(EXPERIMENT, WINDOW, expected)


def deliver(ether, client, burst):
    ether.propagate(ether.accept(delivery_frames(WINDOW, client, burst)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session": "yesterday"}, "another session"),
        ({"round_index": 3}, "another window"),
        ({"index": 8}, "another window"),
    ],
)
def test_a_delivery_for_another_window_is_refused(changes, reason):
    frames = delivery_frames(msgspec.structs.replace(WINDOW, **changes), "c0", samples())
    with pytest.raises(RefusedDelivery, match=reason):
        window("c0").accept(frames)


@pytest.mark.parametrize("client", ["c1", "nobody"])
def test_a_client_without_a_grant_is_refused(client):
    with pytest.raises(RefusedDelivery, match="not expected"):
        window("c0").accept(delivery_frames(WINDOW, client, samples()))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda s: s[:-1], "wrong sample count"),
        (lambda s: np.append(s, 0), "wrong sample count"),
        (lambda s: np.where(np.arange(len(s)) == 9, np.nan, s), "impossible samples"),
        (lambda s: np.where(np.arange(len(s)) == 9, np.inf, s), "impossible samples"),
        (lambda s: np.where(np.arange(len(s)) == 9, 1.1j * TX_PEAK_AMPLITUDE, s), "impossible samples"),
    ],
)
def test_samples_that_no_transmitter_sends_are_refused(spoil, reason):
    with pytest.raises(RefusedDelivery, match=reason):
        window("c0").accept(delivery_frames(WINDOW, "c0", spoil(samples())))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"session": "today"}),
        msgspec.msgpack.encode({**msgspec.to_builtins(DeliveryHeader("today", 2, 7, "c0")), "extra": 1}),
        msgspec.msgpack.encode(DeliveryHeader("today", 2, 7, "c" * 49)),
        b" " * (HEADER_LIMIT + 1),
    ],
)
def test_a_header_off_the_schema_is_refused(header):
    with pytest.raises(RefusedDelivery, match="malformed"):
        window("c0").accept([header, delivery_frames(WINDOW, "c0", samples())[1]])


def test_the_first_delivery_of_a_client_wins():
    ether = window("c0")
    deliver(ether, "c0", samples(1))
    alone = ether.received()[0].copy()
    with pytest.raises(RefusedDelivery, match="delivered twice"):
        deliver(ether, "c0", samples(2))
    assert np.array_equal(ether.received()[0], alone)


def test_a_refused_delivery_leaves_room_for_the_right_one():
    ether = window("c0")
    with pytest.raises(RefusedDelivery):
        deliver(ether, "c0", samples()[:-1])
    deliver(ether, "c0", samples())
    assert ether.complete


def test_the_window_is_complete_when_all_delivered_or_were_left_out():
    ether = window("c0", "c1")
    assert not ether.complete
    deliver(ether, "c1", samples())
    assert not ether.complete
    ether.leave_out("c0")
    assert ether.complete
    assert ether.lost == ["c0"]


def test_what_a_client_delivered_before_it_was_left_out_counts():
    ether = window("c0")
    deliver(ether, "c0", samples())
    ether.leave_out("c0")
    assert ether.lost == []


def test_the_order_of_deliveries_does_not_change_a_bit():
    sums = []
    for order in itertools.permutations(("c0", "c1", "c2")):
        ether = window("c0", "c1", "c2")
        for client in order:
            deliver(ether, client, samples(int(client[1])))
        sums.append(ether.received()[0].tobytes())
    assert len(set(sums)) == 1


def test_nothing_is_on_the_air_in_a_window_without_transmitters():
    ether = window()
    assert ether.complete
    received, clipped = ether.received()
    assert received.shape == (WINDOW.n_samples,)
    assert clipped == 0
