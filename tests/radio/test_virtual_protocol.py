"""The IIOD protocol without sockets: whatever a client sends, split however it likes."""

import errno
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.virtual.protocol import (
    ATTRIBUTE_LIMIT,
    LINE_LIMIT,
    SKIP_LIMIT,
    Close,
    Malformed,
    Open,
    Payload,
    Plain,
    ProtocolEnd,
    Read,
    ReadBuffer,
    RequestParser,
    SetBuffersCount,
    Target,
    Timeout,
    Trigger,
    Write,
    WriteBuffer,
)

REQUESTS = [
    (b"VERSION\r\n", Plain("VERSION")),
    (b"print\n", Plain("PRINT")),
    (b"QUIT\r\n", Plain("EXIT")),
    (b"TIMEOUT 2500\r\n", Timeout(2500)),
    (b"GETTRIG iio:device0\r\n", Trigger("iio:device0", sets=False)),
    (b"SETTRIG iio:device0 x\r\n", Trigger("iio:device0", sets=True)),
    (b"SET iio:device3 BUFFERS_COUNT 8\r\n", SetBuffersCount("iio:device3", 8)),
    (b"READ iio:device0 ensm_mode\r\n", Read(Target("iio:device0"), "ensm_mode")),
    (b"READ iio:device0 DEBUG\r\n", Read(Target("iio:device0", "debug"), None)),
    (b"READ iio:device2 BUFFER watermark\r\n", Read(Target("iio:device2", "buffer"), "watermark")),
    (b"READ iio:device0 INPUT voltage0 rssi\r\n", Read(Target("iio:device0", "input", "voltage0"), "rssi")),
    (b"WRITE d OUTPUT c attribute 4\r\n1\n\r\0", Write(Target("d", "output", "c"), "attribute", b"1\n\r\0")),
    (b"WRITE d a 0\r\n", Write(Target("d"), "a", b"")),
    (b"OPEN iio:device3 4096 00000003\r\n", Open("iio:device3", 4096, "00000003", False)),
    (b"OPEN iio:device2 16 00000001 CYCLIC\r\n", Open("iio:device2", 16, "00000001", True)),
    (b"CLOSE iio:device3\r\n", Close("iio:device3")),
    (b"READBUF iio:device3 64\r\n", ReadBuffer("iio:device3", 64)),
    (b"WRITEBUF iio:device2 64\r\n", WriteBuffer("iio:device2", 64)),
]
MALFORMED = [
    b"BINARY", b"\xff\xfe", b"TIMEOUT", b"TIMEOUT -1", b"TIMEOUT 99999999999", b"READ", b"READ d INPUT", b"READ d a b",
    b"WRITE d a x", b"OPEN d", b"OPEN d 4 3 SOMETIMES", b"OPEN d four 00000003", b"READBUF d 1e3", b"WRITEBUF d",
    b"SET d COLOUR 3",
]  # fmt: skip


def requests_of(data, cuts=()):
    parser, found = RequestParser(), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        parser.feed(data[begin:end])
        while (request := parser.next_request()) is not None:
            found.append(request)
    return found


@given(st.lists(st.integers(min_value=0), max_size=12))
def test_requests_are_the_same_however_they_are_split(cuts):
    data = b"\r\n".join([b"", *(line for line, _ in REQUESTS)])
    assert requests_of(data, cuts) == [request for _, request in REQUESTS]


@pytest.mark.parametrize("line", MALFORMED)
def test_what_is_no_request_is_answered_and_the_next_one_is_understood(line):
    assert requests_of(line + b"\r\nVERSION\r\n") == [Malformed(errno.EINVAL), Plain("VERSION")]


def test_samples_follow_only_where_they_were_asked_for():
    parser = RequestParser()
    parser.feed(b"WRITEBUF d 8\r\n")
    assert parser.next_request() == WriteBuffer("d", 8)
    parser.expect_payload(8)
    parser.feed(b"VERSION")
    assert parser.next_request() is None
    parser.feed(b"\nVERSION\n")
    assert parser.next_request() == Payload(b"VERSION\n")
    assert parser.next_request() == Plain("VERSION")


def test_a_line_without_end_ends_the_connection():
    with pytest.raises(ProtocolEnd):
        requests_of(b"X" * LINE_LIMIT)


def test_a_value_that_is_too_long_is_skipped_and_refused():
    data = b"WRITE d a %d\r\n" % (ATTRIBUTE_LIMIT + 1) + bytes(ATTRIBUTE_LIMIT + 1) + b"VERSION\n"
    assert requests_of(data, cuts=[1000, 5000]) == [Malformed(errno.EINVAL), Plain("VERSION")]


def test_an_absurd_value_ends_the_connection():
    with pytest.raises(ProtocolEnd):
        requests_of(b"WRITE d a %d\r\n" % (SKIP_LIMIT + 1))


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=4))
def test_no_bytes_break_the_parser(data, cuts):
    for request in requests_of(data, cuts):
        assert request is not None
