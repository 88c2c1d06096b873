"""Base station and clients over real CURVE sockets."""

from __future__ import annotations

import socket
import time

import pytest
import zmq
from control_support import READY, WAIT_S, WELCOME, Testbed, testbed

from protocol.control import ClientControl, Rejection, StationControl
from protocol.control.client import NAME_IN_USE_PATIENCE_S
from protocol.control.codec import encode_from_client
from protocol.control.roster import TAKEOVER_SILENCE_S
from protocol.control.wire import secure_socket
from protocol.errors import AccessError, AddressInUseError, ConfigurationError, PeerLostError, ProtocolError
from protocol.keys import ClientKeys, new_pair
from protocol.messages import CLIENT_MESSAGE_LIMIT, Finish, Heartbeat, Hello, Plan, Refused


class RawPeer:
    """A known client that speaks whatever it likes."""

    def __init__(self, bed: Testbed, name: str) -> None:
        self._context = zmq.Context()
        self.socket = secure_socket(self._context, zmq.DEALER, bed.client_pairs[name], 2**20)
        self.socket.curve_serverkey = bed.pair.public.encode()
        self.socket.connect(bed.station.address)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)


def test_messages_pass_both_ways_under_the_name_of_the_key():
    with testbed("a", "b") as bed:
        client = bed.joined("b")
        client.send(READY)
        assert bed.next_event("ready") == ("b", READY)
        plan = Plan(1, b"\1" * 1_000_000, None, None)
        bed.station.send("b", plan)
        assert bed.next_message(client) == plan


def test_an_unknown_key_is_refused_and_told_once():
    with testbed("a") as bed:
        stranger = bed.client("a", pair=new_pair())
        with pytest.raises(AccessError, match="does not know the key of 'a'"):
            stranger.receive(WAIT_S)
        name, rejection = bed.next_event("rejection")
        assert name == ""
        assert "unknown key" in rejection.reason
        assert list(bed.station.refused_keys.values()) == [1]


def test_a_name_other_than_the_keys_is_refused_for_good():
    with testbed("a", "b") as bed:
        thief = bed.client("b", pair=bed.client_pairs["a"])
        with pytest.raises(AccessError, match="belongs to 'a', not to 'b'"):
            thief.receive(WAIT_S)
        assert bed.next_event("rejection")[0] == "a"
        assert bed.station.last_heard_s("b") == float("inf")


def test_a_wrong_base_station_key_is_an_access_error():
    with testbed("a") as bed:
        keys = ClientKeys(bed.client_pairs["a"], new_pair().public)
        client = ClientControl(bed.station.address, "a", keys)
        with pytest.raises(AccessError, match="does not hold the key"):
            client.receive(WAIT_S)
        client.close()


def test_nobody_there_is_told_after_the_patience():
    with testbed("a") as bed:
        bed.station.close()
        client = bed.client("a", patience_s=0.5)
        with pytest.raises(PeerLostError, match="no base station answered"):
            client.receive(WAIT_S)
        with pytest.raises(PeerLostError):
            client.send(READY)


def test_an_address_in_use_is_named():
    with testbed("a") as bed, pytest.raises(AddressInUseError, match=bed.station.address):
        StationControl(bed.station.address, new_pair(), {})


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:0", "nonsense", "tcp://127.0.0.1:99999"])
def test_an_address_that_is_not_this_machines_is_a_configuration_error(address):
    with pytest.raises(ConfigurationError, match="cannot listen"):
        StationControl(address, new_pair(), {})


@pytest.mark.parametrize("size", [CLIENT_MESSAGE_LIMIT + 1, 9 * 1024])
def test_an_oversize_message_is_refused_and_its_sender_named(size):
    with testbed("a") as bed, RawPeer(bed, "a") as peer:
        peer.socket.send(b"\0" * size)
        name, rejection = bed.next_event("rejection")
        assert name == "a"
        assert f"{size} bytes" in rejection.reason


def test_a_huge_message_never_arrives_and_others_go_on():
    with testbed("a", "b") as bed, RawPeer(bed, "a") as peer:
        peer.socket.send(b"\0" * 2**20)
        client = bed.joined("b")
        client.send(READY)
        assert bed.next_event("ready")[0] == "b"
        with pytest.raises(ProtocolError, match="limit"):
            client.send(Hello("x" * 9000, "12345678"))


def test_several_frames_are_refused():
    with testbed("a") as bed, RawPeer(bed, "a") as peer:
        peer.socket.send_multipart([encode_from_client(Heartbeat()), b"\0" * 8000])
        assert "2 frames" in bed.next_event("rejection", "a")[1].reason


def test_a_message_of_an_unknown_instance_is_answered_by_say_hello():
    with testbed("a") as bed, RawPeer(bed, "a") as peer:
        peer.socket.send(encode_from_client(READY))
        assert peer.socket.poll(WAIT_S * 1000)
        assert b"say hello" in peer.socket.recv()
        assert bed.station.receive(0.0) is None


def test_a_restarted_base_station_gets_its_client_back():
    with testbed("a") as bed:
        client = bed.joined("a")
        address = bed.station.address
        bed.station.close()
        client.send(READY)  # said to nobody: it must not reach the next base station
        bed.start_station(address)
        bed.welcome("a")
        assert bed.next_message(client) == WELCOME
        client.send(READY.__class__(**{f: getattr(READY, f) for f in READY.__struct_fields__} | {"round_index": 2}))
        assert bed.next_event("ready")[1].round_index == 2


def test_a_second_instance_waits_until_the_first_is_silent():
    with testbed("a") as bed:
        first = bed.joined("a")
        with RawPeer(bed, "a") as early:
            early.socket.send(encode_from_client(Hello("a", "other-instance")))
            assert early.socket.poll(WAIT_S * 1000)
            assert b"name in use" in early.socket.recv()
        first.close()
        second = bed.client("a")
        bed.welcome("a")
        assert bed.next_message(second) == WELCOME


def test_an_instance_that_cannot_have_its_name_gives_up_long_before_one_without_a_base_station():
    assert TAKEOVER_SILENCE_S < NAME_IN_USE_PATIENCE_S <= 15.0
    with testbed("a") as bed:
        bed.joined("a")
        second = bed.client("a", patience_s=600.0, in_use_patience_s=0.5)
        with pytest.raises(AccessError, match="another process is 'a'"):
            second.receive(WAIT_S)


def test_another_protocol_version_is_refused():
    with testbed("a") as bed, RawPeer(bed, "a") as peer:
        peer.socket.send(encode_from_client(Hello("a", "instance-1", version=99)))
        assert "version 99" in bed.next_event("rejection", "a")[1].reason


def test_heartbeats_keep_a_client_alive_and_are_told_when_the_stage_changes():
    with testbed("a") as bed:
        client = bed.joined("a")
        assert bed.next_event("heartbeat")[1] == Heartbeat("", 0)
        client.set_stage("train", 3)
        assert bed.next_event("heartbeat")[1] == Heartbeat("train", 3)
        time.sleep(2.5)  # longer than two heartbeats: the time itself is under test
        assert bed.station.last_heard_s("a") < 2.0
        assert bed.station.receive(0.0) is None


def test_a_flood_of_garbage_does_not_stop_the_base_station():
    with testbed("a", "b") as bed, RawPeer(bed, "a") as peer:
        client = bed.joined("b")
        for _ in range(5000):
            peer.socket.send(b"\xff" * 100)
        host, port = bed.station.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        peer.socket.send(encode_from_client(READY))  # its answer tells that the flood was read
        assert peer.socket.poll(WAIT_S * 1000)
        client.send(READY)
        rejections = 0
        while (event := bed.station.receive(WAIT_S)) != ("b", READY):
            rejections += event is not None and event[0] == "a" and isinstance(event[1], Rejection)
        assert rejections == 257


def test_nothing_is_sent_to_a_client_that_never_said_hello():
    with testbed("a") as bed:
        assert not bed.station.send("a", Finish())


def test_the_last_words_arrive_before_the_socket_closes():
    with testbed("a") as bed:
        client = bed.joined("a")
        bed.station.send("a", Finish("done"))
        bed.station.close()
        assert bed.next_message(client) == Finish("done")


def test_a_refusal_carries_its_reason():
    with testbed("a") as bed:
        client = bed.client("a")
        bed.next_event("hello")
        bed.station.send("a", Refused("the experiment is full"))
        with pytest.raises(AccessError, match="the experiment is full"):
            client.receive(WAIT_S)
