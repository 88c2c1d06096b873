"""Faults on command, and the control port that takes the commands: each does what it says."""

import threading
import time

import msgspec
import numpy as np
import pytest
import zmq
from iiod_client import ADC, DAC, PHY, IiodClient, peak, tone_codes

from protocol.errors import AddressInUseError, ConfigurationError, PeerLostError, RadioError
from radio.virtual.control import ControlClient, ControlServer
from radio.virtual.control_messages import (
    MESSAGE_LIMIT,
    Advance,
    Clear,
    DeadLo,
    Drop,
    Overflow,
    Replug,
    Serial,
    SetLink,
    Slow,
    Stall,
    Status,
    Stuck,
    Unplug,
    decode_answer,
)
from radio.virtual.registers import OVERFLOW
from radio.virtual.testbed import virtual_plutos


@pytest.fixture
def plutos():
    with virtual_plutos(["a", "b"], {"medium": {"crystal_ppm": 0.0}}, stepped=True) as plutos:
        yield plutos


@pytest.fixture
def client(plutos):
    with IiodClient(plutos.uri("a")) as client:
        client.configure()
        yield client


@pytest.fixture
def control(plutos):
    server = ControlServer(plutos, "tcp://127.0.0.1:0")
    with ControlClient(server.address) as control:
        yield control
    server.close()


def test_a_stalled_radio_answers_late_and_nothing_is_lost(plutos, control, client):
    control.send(Stall(radio="a"))
    client.send("VERSION")
    assert not client.answered(within_s=0.2)
    with IiodClient(plutos.uri("b")) as other:
        assert other.ask("TIMEOUT 1") == 0
    control.send(Clear(radio="a"))
    assert client.line() == "0.24.v0.24  "


def test_a_stalled_radio_can_still_be_switched_off(plutos, client):
    plutos.control(Stall(radio="a"))
    client.send("VERSION")
    plutos.control(Unplug(radio="a"))
    assert plutos.control(Status()).radios[0].connections == 0


def test_a_dropped_connection_is_gone_and_the_next_one_welcome(plutos, control, client):
    client.open(DAC, 64, cyclic=True)
    assert control.send(Drop(radio="a")).radios[0].connections == 0
    with pytest.raises(ConnectionError):
        client.ask("TIMEOUT 1")
    with IiodClient(plutos.uri("a")) as again:
        assert again.read(f"{PHY} OUTPUT RX_LO", "frequency") == "915000000"
        again.open(DAC, 64)


def test_a_slow_link_sends_at_its_rate(plutos, control, client):
    client.open(ADC, 5000)
    control.send(Slow(radio="a", bytes_per_s=100_000.0))
    plutos.advance(10_000)
    began_s = time.monotonic()
    client.receive(5000)
    assert time.monotonic() - began_s > 0.19
    control.send(Clear(radio="a"))
    assert plutos.server("a").radio.faults.piece(20_000) == (20_000, 0.0)


def test_an_overflow_loses_just_so_many_samples_and_shows_in_the_register(plutos, control, client):
    client.set(f"{PHY} DEBUG", "loopback", 1)
    codes = np.stack([np.arange(-2000, 2000)] * 2, axis=1).astype(np.int16) << 4
    with IiodClient(plutos.uri("a")) as sender:
        sender.open(DAC, 4000, cyclic=True)
        sender.push(codes)
        plutos.advance(1000)
        client.open(ADC, 500)
        plutos.advance(500)
        control.send(Overflow(radio="a", samples=123))
        plutos.advance(623)
        received = client.receive_codes(1000)[:, 0]
    assert received[500] - received[499] == 124
    assert (np.diff(np.delete(received, np.s_[500:])) == 1).all()
    assert client.status(ADC) == OVERFLOW
    assert control.send(Status()).radios[0].overflows == 1


@pytest.mark.parametrize(("radio", "side"), [("a", "receive"), ("b", "transmit")])
def test_a_dead_oscillator_is_silent_while_every_attribute_reads_well(plutos, control, client, radio, side):
    with IiodClient(plutos.uri("b")) as sender:
        sender.configure()
        sender.open(DAC, 4096, cyclic=True)
        sender.push(tone_codes(100, 4096))
        client.open(ADC, 4096)

        def level_dbfs():
            plutos.advance(4096)
            return peak(client.receive(4096), 2.5e6)[1]

        plutos.advance(4096)
        client.receive(4096)
        assert level_dbfs() > -45.0
        control.send(DeadLo(radio=radio, side=side))
        assert level_dbfs() < -49.5  # the receiver's own DC offset
        oscillator = f"{PHY} OUTPUT {'RX' if side == 'receive' else 'TX'}_LO"
        assert client.read(oscillator, "powerdown") == "0"
        control.send(Clear(radio=radio))
        assert level_dbfs() > -45.0


def test_a_stuck_attribute_is_written_in_vain_until_it_is_cleared(plutos, control, client):
    oscillator = f"{PHY} OUTPUT TX_LO"
    control.send(Stuck(radio="a", file="out_altvoltage1_TX_LO_powerdown"))
    client.set(oscillator, "powerdown", 1)
    client.set(oscillator, "frequency", 800_000_000)
    assert [client.read(oscillator, name) for name in ("powerdown", "frequency")] == ["0", "800000000"]
    control.send(Clear(radio="a"))
    client.set(oscillator, "powerdown", 1)
    assert client.read(oscillator, "powerdown") == "1"
    with pytest.raises(RadioError, match="no attribute file 'powerup'"):
        control.send(Stuck(radio="a", file="powerup"))


def test_a_borrowed_serial_number_is_shown_and_given_back(plutos, control):
    def serials():
        found = []
        for name in ("a", "b"):
            with IiodClient(plutos.uri(name)) as client:
                document = client.document("PRINT").decode()
            found.append(document.split('name="hw_serial" value="')[1].split('"')[0])
        return found

    own = serials()
    assert own[0] != own[1]
    control.send(Serial(radio="b", same_as="a"))
    assert serials() == [own[0], own[0]]
    control.send(Clear(radio="b"))
    assert serials() == own


def test_an_unplugged_radio_is_not_there_and_comes_back_as_after_power_up(plutos, control, client):
    control.send(Unplug(radio="a"))
    with pytest.raises(ConnectionError):
        client.ask("TIMEOUT 1")
    with pytest.raises(ConnectionRefusedError):
        IiodClient(plutos.uri("a"))
    answer = control.send(Replug(radio="a"))
    assert [radio.plugged_in for radio in answer.radios] == [True, True]
    with IiodClient(plutos.uri("a")) as again:
        assert again.read(f"{PHY} OUTPUT RX_LO", "frequency") == "2400000000"
    with pytest.raises(RadioError, match="'a' is plugged in; unplug it first"):
        control.send(Replug(radio="a"))


def test_time_is_advanced_through_the_port(control, client):
    client.open(ADC, 1000)
    answer = control.send(Advance(samples=1000))
    assert answer.time_s == pytest.approx(1000 / 2.5e6)
    assert answer.radios[0].samples >= 1000
    assert len(client.receive(1000)) == 1000


def test_a_command_that_cannot_be_done_is_answered_with_the_reason(control):
    for command, reason in (
        (Stall(radio="z"), "there is no radio 'z'; there are: a, b"),
        (SetLink(between=["a", "z"], loss_db=3.0), "there is no radio 'z'"),
        (Advance(samples=1 << 30), "at most"),
    ):
        with pytest.raises(RadioError, match=reason):
            control.send(command)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc1", msgspec.msgpack.encode({"do": "explode"}), msgspec.msgpack.encode({"do": "stall"}),
        msgspec.msgpack.encode({"do": "slow", "radio": "a", "bytes_per_s": float("inf")}),
        msgspec.msgpack.encode({"do": "advance", "samples": -1}),
        msgspec.msgpack.encode({"do": "status", "more": 1}), b"\x91" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_command_is_refused_and_the_next_one_taken(control, data):
    control._socket.send(data)
    assert "off the schema" in decode_answer(control._socket.recv()).error
    assert control.send(Status()).error is None


def test_a_message_that_is_too_large_is_never_read(control):
    with zmq.Context.instance().socket(zmq.REQ) as other:
        other.setsockopt(zmq.LINGER, 0)
        other.setsockopt(zmq.RCVTIMEO, 300)
        other.connect(control._address)
        other.send(b"x" * (MESSAGE_LIMIT + 1))
        with pytest.raises(zmq.Again):
            other.recv()
    assert control.send(Status()).error is None


def test_a_taken_or_impossible_control_address_is_told(plutos, control):
    with pytest.raises(AddressInUseError, match="--control tcp"):
        ControlServer(plutos, control._address)
    with pytest.raises(ConfigurationError, match="--control nonsense"):
        ControlServer(plutos, "nonsense")


def test_a_control_port_that_is_gone_is_told():
    with (
        ControlClient("tcp://127.0.0.1:9", timeout_s=0.1) as control,
        pytest.raises(PeerLostError, match="do not answer"),
    ):
        control.send(Status())


def test_closing_lets_go_of_everyone_who_waits():
    with virtual_plutos(["a"], stepped=True) as plutos:
        client = IiodClient(plutos.uri("a"))
        client.open(ADC, 100)
        client.request_samples(100)
        threads = threading.active_count()
    with pytest.raises((ConnectionError, OSError)):
        client.take_samples()
    assert threading.active_count() < threads
    client.close()
