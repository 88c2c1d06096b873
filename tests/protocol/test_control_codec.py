"""The schema of control messages: an update cannot leave a client by this road."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from control_support import READY
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.bursts import TransmitReport
from protocol.control.codec import (
    ADAPTER_FRAME_BYTES,
    decode_from_client,
    decode_from_station,
    encode_from_client,
    encode_from_station,
)
from protocol.errors import ProtocolError
from protocol.messages import (
    CLIENT_MESSAGE_LIMIT,
    STATION_MESSAGE_LIMIT,
    Encoded,
    Failed,
    Finish,
    Heartbeat,
    Hello,
    Plan,
    Sent,
)

EXAMPLES = [
    Hello("a", "instance-1"),
    Heartbeat("train", 3),
    READY,
    Encoded(1, 8000, 4, 32, 10, 20, 1000, 2000, 0.5),
    Sent(1, 2, TransmitReport(1000, 10.0, 0.01)),
    Failed(1, "out of memory"),
]
ADAPTER = np.random.default_rng(1).standard_normal(1500).astype("float32")
SMUGGLED = {
    "bytes": ADAPTER.tobytes(),
    "text": ADAPTER.tobytes().hex()[:6000],
    "reals": [float(value) for value in ADAPTER[:700]],
    "integers": [int(value) for value in ADAPTER[:700].view("uint32")],
    "map": {str(i): float(value) for i, value in enumerate(ADAPTER[:300])},
    "pairs": [[8 * i, abs(float(value))] for i, value in enumerate(ADAPTER[:300])],
}
FIELDS = [(example, key) for example in EXAMPLES for key in (*msgspec.to_builtins(example), "another")]


def as_map(message: object) -> dict[str, object]:
    return msgspec.to_builtins(message)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_a_message_survives_the_wire(example):
    assert decode_from_client(encode_from_client(example)) == example


@pytest.mark.parametrize(("example", "key"), [(EXAMPLES[0], "name"), (EXAMPLES[1], "stage"), (EXAMPLES[5], "reason")])
def test_what_a_client_says_cannot_steer_a_terminal(example, key):
    data = msgspec.msgpack.encode(as_map(example) | {key: "\x1b[2J\r\N{RIGHT-TO-LEFT OVERRIDE}done \N{DEGREE SIGN}"})
    assert getattr(decode_from_client(data), key) == "\ufffd[2J\ufffd\ufffddone \N{DEGREE SIGN}"
    with pytest.raises(ProtocolError) as caught:
        decode_from_client(msgspec.msgpack.encode(as_map(example) | {"\x1b[2J": 1}))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("what", SMUGGLED)
@pytest.mark.parametrize(("example", "key"), FIELDS, ids=lambda value: getattr(type(value), "__name__", str(value)))
def test_no_field_of_any_client_message_holds_an_array(example, key, what):
    data = msgspec.msgpack.encode(as_map(example) | {key: SMUGGLED[what]})
    assert len(data) <= CLIENT_MESSAGE_LIMIT, "the schema, not the size, must refuse it"
    with pytest.raises(ProtocolError):
        decode_from_client(data)


def test_the_largest_message_the_schema_lets_through_is_far_below_an_update():
    fullest = msgspec.structs.replace(READY, curve=[(2**39 + i, math.pi) for i in range(64)])
    fullest = msgspec.structs.replace(fullest, curve=[(0, math.pi), *fullest.curve[1:]])
    longest = max(len(encode_from_client(m)) for m in (fullest, Failed(1, "\N{EURO SIGN}" * 512)))
    assert longest < 2048


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e31])
@pytest.mark.parametrize("key", ["loss", "compute_s", "lora_energy", "residual_energy", "cosine_mean"])
def test_numbers_that_are_none_are_refused_and_the_field_named(key, bad):
    with pytest.raises(ProtocolError, match=key):
        decode_from_client(msgspec.msgpack.encode(as_map(READY) | {key: bad}))


@pytest.mark.parametrize(
    "curve",
    [
        [(0, math.nan)],
        [(0, 1.0), (8, math.inf)],
        [(8, 1.0)],
        [(0, 1.0), (16, 0.5), (16, 0.4)],
        [(0, 1.0), (16, 1.5)],
        [(0, 1.0), (8, 0.5), (16, 0.6)],
        [(0, -1.0)],
        [],
    ],
)
def test_curves_that_are_none_are_refused(curve):
    with pytest.raises(ProtocolError, match="curve"):
        decode_from_client(msgspec.msgpack.encode(as_map(READY) | {"curve": curve}))


def test_an_integer_holds_no_more_than_its_bits():
    with pytest.raises(ProtocolError):
        decode_from_client(msgspec.msgpack.encode(as_map(Hello("a", "instance-1")) | {"version": 2**64 - 1}))


@pytest.mark.parametrize("key", ["air_samples", "tx_power_dbm", "energy_j", "clipped_samples", "flowgraph_s"])
@pytest.mark.parametrize("bad", [math.nan, 1e20, -1e20])
def test_absurd_transmit_reports_are_refused(key, bad):
    report = as_map(TransmitReport(1000, 10.0, 0.01)) | {key: bad}
    with pytest.raises(ProtocolError):
        decode_from_client(
            msgspec.msgpack.encode({"type": "sent", "round_index": 1, "window_index": 2, "report": report})
        )


def test_a_message_of_the_other_direction_is_refused():
    plan = Plan(1, b"adapter", None, 1.0)
    assert decode_from_station(encode_from_station(plan)) == plan
    with pytest.raises(ProtocolError):
        decode_from_client(encode_from_station(plan)[0])
    with pytest.raises(ProtocolError):
        decode_from_station([encode_from_client(READY)])


def test_the_adapter_of_a_plan_is_sent_without_a_copy_and_counts_in_its_size():
    adapter = np.random.default_rng(1).bytes(2 * ADAPTER_FRAME_BYTES + 1)
    plan = Plan(1, adapter, None, 1.0)
    header, *frames = encode_from_station(plan)
    assert [len(frame) for frame in frames] == [ADAPTER_FRAME_BYTES, ADAPTER_FRAME_BYTES, 1]
    assert all(frame.obj is adapter for frame in frames)
    assert len(header) < 100
    assert decode_from_station([header, *frames]) == plan
    with pytest.raises(ProtocolError, match="the limit is"):
        encode_from_station(Plan(1, bytes(STATION_MESSAGE_LIMIT), None, 1.0))


def test_further_frames_are_a_plans_adapter_and_nothing_else():
    (finish,), plan = encode_from_station(Finish()), encode_from_station(Plan(1, b"adapter", None, 1.0))
    whole = msgspec.msgpack.encode(Plan(1, b"adapter", None, 1.0))
    assert decode_from_station(plan) == Plan(1, b"adapter", None, 1.0)
    for frames in ([], [finish, b""], [finish, b"adapter"], [whole], [whole, b"adapter"]):
        with pytest.raises(ProtocolError, match="frames"):
            decode_from_station(frames)


def test_the_base_station_cannot_send_nan():
    with pytest.raises(ProtocolError, match="kappa"):
        encode_from_station(Plan(1, b"", None, math.nan))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_are_refused_or_are_a_message(data):
    try:
        message = decode_from_client(data)
    except ProtocolError:
        return
    assert decode_from_client(encode_from_client(message)) == message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EXAMPLES), st.integers(0, 400), st.integers(0, 255), st.binary(max_size=3))
def test_damaged_messages_are_refused_or_are_a_message(example, place, value, tail):
    data = bytearray(encode_from_client(example))
    data[place % len(data)] = value
    try:
        message = decode_from_client(bytes(data) + tail)
    except ProtocolError:
        return
    assert decode_from_client(encode_from_client(message)) == message


def test_deeply_nested_messages_are_refused():
    with pytest.raises(ProtocolError):
        decode_from_client(b"\x91" * 8000)
