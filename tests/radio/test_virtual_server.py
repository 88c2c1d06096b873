"""Virtual Plutos over TCP, asked by a client in Python alone: the conversation, buffers, their owners."""

import errno
import threading
import time

import numpy as np
import pytest
from iiod_client import ADC, DAC, PHY, XADC, IiodClient

from protocol.errors import AddressInUseError, ConfigurationError
from radio.virtual.configuration import medium_of
from radio.virtual.control_messages import Advance, Status
from radio.virtual.registers import UNDERFLOW
from radio.virtual.session import BUFFER_LIMIT
from radio.virtual.testbed import VirtualPlutos, virtual_plutos
from radio.virtual.transmission import AHEAD_SAMPLES, LATENCY_SAMPLES


@pytest.fixture
def stepped():
    with virtual_plutos(["a"], stepped=True) as plutos:
        yield plutos


@pytest.fixture
def client(stepped):
    with IiodClient(stepped.uri("a")) as client:
        client.configure()
        yield client


def looped_back(client):
    client.set(f"{PHY} DEBUG", "loopback", 1)


def counted(samples, first=0):
    """A ramp that the loopback's lower 12 bits hold: int16 (samples, 2)."""
    ramp = (np.arange(first, first + samples) % 4096 - 2048).astype(np.int16)
    return np.stack([ramp, ramp[::-1]], axis=1) << 4


def test_the_conversation_a_client_of_libiio_begins_with(stepped):
    with IiodClient(stepped.uri("a")) as client:
        client.send("VERSION")
        assert client.line() == "0.24.v0.24  "
        assert client.document("ZPRINT") == -errno.EINVAL
        assert client.document("PRINT").startswith(b"<?xml")
        assert client.ask("TIMEOUT 2500") == 0
        assert client.ask(f"GETTRIG {PHY}") == -errno.ENOENT
        assert client.ask("BINARY") == -errno.EINVAL
        client.send("EXIT")
        with pytest.raises(ConnectionError):
            client.line()


def test_all_attributes_at_once_are_those_read_one_by_one(client):
    data = client.document(f"READ {XADC} INPUT temp0 ")
    values = []
    while data:
        length = int.from_bytes(data[:4], "big", signed=True)
        values.append(data[4 : 4 + length].rstrip(b"\0").decode())
        data = data[4 + -(-length // 4) * 4 :]
    assert values == [client.read(f"{XADC} INPUT temp0", name) for name in ("offset", "raw", "scale")]


@pytest.mark.parametrize(
    ("request_line", "number"),
    [
        (f"READBUF {ADC} 64", errno.EBADF), (f"WRITEBUF {DAC} 64", errno.EBADF), (f"CLOSE {ADC}", errno.ENXIO),
        (f"OPEN {ADC} 64 3", errno.EINVAL), (f"OPEN {ADC} 64 00000000", errno.EINVAL),
        (f"OPEN {ADC} 64 0000000f", errno.EINVAL), (f"OPEN {ADC} 0 00000003", errno.EINVAL),
        (f"OPEN {PHY} 64 00000003", errno.ENOENT), ("OPEN x 64 00000003", errno.ENODEV),
        (f"OPEN {ADC} {BUFFER_LIMIT + 1} 00000003", errno.ENOMEM), (f"SET {ADC} BUFFERS_COUNT 0", errno.EINVAL),
        (f"SET {PHY} BUFFERS_COUNT 4", errno.EINVAL), ("READ x y", errno.ENODEV), (f"SETTRIG {PHY} x", errno.ENODEV),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_answered_with_its_errno_and_the_talk_goes_on(client, request_line, number):
    assert client.ask(request_line) == -number
    assert client.ask("TIMEOUT 1") == 0


def test_reading_waits_until_time_has_brought_the_samples(stepped, client):
    client.open(ADC, 1000)
    client.request_samples(1000)
    stepped.advance(999)
    assert not client.answered(within_s=0.2)
    stepped.advance(1)
    assert client.take_samples().shape == (1000, 2)


def test_the_digital_loopback_gives_the_upper_twelve_bits_sample_by_sample(stepped, client):
    looped_back(client)
    client.open(ADC, 2048)
    with IiodClient(stepped.uri("a")) as sender:
        sender.open(DAC, 700)
        codes = counted(700) + 11  # the four lower bits are rounded down
        assert sender.push(codes) == 2800
        stepped.advance(2048)
        received = client.receive_codes(2048)
    expected = np.zeros((2048, 2), np.int16)
    expected[LATENCY_SAMPLES : LATENCY_SAMPLES + 700] = codes >> 4
    np.testing.assert_array_equal(received, expected)


def test_buffers_pushed_in_time_play_without_a_gap_and_late_ones_underflow(stepped, client):
    looped_back(client)
    client.open(ADC, 4000)
    with IiodClient(stepped.uri("a")) as sender:
        sender.open(DAC, 1000)
        sender.push(counted(1000))
        stepped.advance(1000 + LATENCY_SAMPLES - AHEAD_SAMPLES)
        sender.push(counted(1000, 1000))
        assert client.status(DAC) == 0
        stepped.advance(1001)
        sender.push(counted(1000, 2000))
        assert client.status(DAC) == UNDERFLOW
        assert client.status(DAC) == 0
        stepped.advance(2000)
        received = client.receive_codes(4000)[:, 0]
    first = LATENCY_SAMPLES
    np.testing.assert_array_equal(received[first : first + 2000], counted(2000)[:, 0] >> 4)
    gap = received[first + 2000 : first + 2000 + LATENCY_SAMPLES - AHEAD_SAMPLES]
    assert not gap.any()
    assert stepped.control(Status()).radios[0].underflows == 2


def test_a_cyclic_buffer_repeats_until_it_is_closed(stepped, client):
    looped_back(client)
    client.open(ADC, 1000)
    sender = IiodClient(stepped.uri("a"))
    sender.open(DAC, 300, cyclic=True)
    sender.push(counted(300))
    stepped.advance(1000)
    received = client.receive_codes(1000)
    expected = np.tile(counted(300) >> 4, (3, 1))[: 1000 - LATENCY_SAMPLES]
    np.testing.assert_array_equal(received[LATENCY_SAMPLES:], expected)
    assert sender.ask(f"CLOSE {DAC}") == 0
    stepped.advance(1000)
    assert not client.receive_codes(1000).any()
    sender.close()


def test_a_new_rate_drops_what_was_queued_for_the_old_one(stepped, client):
    looped_back(client)
    with IiodClient(stepped.uri("a")) as sender:
        sender.open(DAC, 1000)
        sender.push(counted(1000))
        client.set(f"{PHY} INPUT voltage0", "sampling_frequency", 5_000_000)
        client.open(ADC, 1500)
        stepped.advance(1500)
        assert not client.receive_codes(1500).any()


def test_what_was_made_for_one_receiver_is_made_anew_once_something_else_is_sent(stepped):
    front_end = stepped.engine.front_ends["a"]
    front_end.queue.open(0)
    assert front_end.sent(0, 1000) is None
    front_end.queue.push(np.ones(2000, np.complex64), 0)
    assert np.abs(front_end.sent(LATENCY_SAMPLES, 10)).min() > 0.9
    front_end.queue.close(500)
    assert not front_end.sent(500, 10).any()


def test_the_transmitter_has_one_owner_and_is_free_once_that_is_gone(stepped, client):
    client.open(DAC, 64)
    with IiodClient(stepped.uri("a")) as other:
        assert other.ask(f"OPEN {DAC} 64 00000003") == -errno.EBUSY
        assert client.ask(f"SET {DAC} BUFFERS_COUNT 2") == -errno.EBUSY
        assert client.ask(f"CLOSE {DAC}") == 0
        other.open(DAC, 64)


def test_two_readers_of_one_radio_get_the_same_samples(stepped, client):
    with IiodClient(stepped.uri("a")) as other:
        client.open(ADC, 512)
        other.open(ADC, 1024)
        stepped.advance(1024)
        np.testing.assert_array_equal(
            np.concatenate([client.receive_codes(512), client.receive_codes(512)]), other.receive_codes(1024)
        )


def test_one_channel_alone_is_the_same_as_in_both(stepped, client):
    with IiodClient(stepped.uri("a")) as other:
        client.open(ADC, 256)
        other.open(ADC, 256, mask="00000002")
        stepped.advance(256)
        other.request_samples(256, channels=1)
        np.testing.assert_array_equal(client.receive_codes(256)[:, 1:], other.take_samples(channels=1))


def test_time_does_not_run_away_from_who_does_not_read(stepped, client, monkeypatch):
    monkeypatch.setattr("radio.virtual.engine.UNREAD_LIMIT", 1000)
    client.open(ADC, 600)
    stepped.advance(1001)
    with pytest.raises(ConfigurationError, match="unread; read them first"):
        stepped.advance(1)
    with pytest.raises(ConfigurationError, match="at a time"):
        stepped.control(Advance(samples=1 << 25))


def test_a_client_that_is_gone_leaves_nothing_open(stepped, client):
    with IiodClient(stepped.uri("a")) as reader, IiodClient(stepped.uri("a")) as sender:
        reader.open(ADC, 1000)
        reader.request_samples(1000)
        sender.open(DAC, 64)
    client.open(DAC, 64)  # waits for the close of the other
    deadline_s = time.monotonic() + 20.0
    stepped.advance(1)  # far from what the reader asked for
    while stepped.control(Status()).radios[0].connections > 1:
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.005)
    assert client.ask(f"SET {ADC} BUFFERS_COUNT 4") == 0


def test_a_taken_address_is_told_and_nothing_stays_open():
    with virtual_plutos(["a"]) as plutos:
        taken = plutos.server("a")
        medium = medium_of({}, ["x", "y"], "medium")
        other = VirtualPlutos({"x": ("127.0.0.1", 0), "y": (taken.host, taken.port)}, medium)
        with pytest.raises(AddressInUseError, match=f"radio 'y': {taken.host}:{taken.port} is taken"):
            other.start()
        with pytest.raises(ConnectionRefusedError):
            IiodClient(other.uri("x"))
