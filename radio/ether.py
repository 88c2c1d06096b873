"""The ether's book-keeping of one window: who is expected, whose samples count, what is refused.

Nothing a transmitter sends is trusted: the header must fit its schema and the armed window, the samples
must be exactly the window's and finite; the first delivery of a client wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from protocol.bursts import ClientName, Window
from protocol.configuration import Experiment
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.channel.medium import propagate, receive

HEADER_LIMIT = 1024
"""Largest delivery header, bytes."""
SAMPLE_BYTES = 8
"""One complex64 sample."""
DELIVERY_LIMIT = 2**20 * SAMPLE_BYTES
"""Largest frame the ether takes, bytes: the longest window."""
_LEVEL_ROUNDING = 1.001


class DeliveryHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First frame of a delivery; the second holds the samples, little-endian complex64."""

    session: Annotated[str, Meta(max_length=32)]
    round_index: Annotated[int, Meta(ge=0, le=1_000_000)]
    window_index: Annotated[int, Meta(ge=0, le=100_000)]
    client: ClientName


class Delivery(NamedTuple):
    """A checked delivery: whose, and complex64 (n_samples,)."""

    client: str
    samples: NDArray[np.complex64]


class RefusedDelivery(Exception):  # noqa: N818  (an outcome the ether counts, never shown to a user)
    """A delivery that does not count; the message is the reason it is counted under."""


TAKEN = b"taken"
"""Answer to a delivery that counts; others are answered with the reason of the refusal."""

_header_decoder = msgspec.msgpack.Decoder(DeliveryHeader)


def delivery_frames(window: Window, client: str, samples: NDArray[np.complex64]) -> tuple[bytes, memoryview]:
    """The two frames by which a transmitter hands ``samples`` (complex64 (n_samples,)) to the ether."""
    header = DeliveryHeader(window.session, window.round_index, window.index, client)
    return msgspec.msgpack.encode(header), np.ascontiguousarray(samples, np.complex64).data.cast("B")


class EtherWindow:
    """One armed window of the medium: takes deliveries until every expected transmitter is accounted for."""

    def __init__(self, experiment: Experiment, window: Window, expected: Sequence[str]) -> None:
        self.window = window
        self._experiment = experiment
        self._expected = set(expected)
        self._left_out: set[str] = set()
        self._contributions: dict[str, NDArray[np.complex64]] = {}

    @property
    def complete(self) -> bool:
        """Whether every expected transmitter delivered or was left out."""
        return self._expected <= self._left_out | self._contributions.keys()

    @property
    def lost(self) -> list[str]:
        """Expected transmitters that have not delivered, sorted."""
        return sorted(self._expected - self._contributions.keys())

    def leave_out(self, client: str) -> None:
        """Do not wait for ``client``; what it delivered before still counts."""
        self._left_out.add(client)

    def accept(self, frames: Sequence[bytes | memoryview]) -> Delivery:
        """Check one delivery: it counts from now on. Raises RefusedDelivery with the reason."""
        header = _decoded_header(frames)
        if header.session != self.window.session:
            raise RefusedDelivery("another session")
        if (header.round_index, header.window_index) != (self.window.round_index, self.window.index):
            raise RefusedDelivery("another window")
        if header.client not in self._expected or header.client in self._left_out:
            raise RefusedDelivery("not expected")
        if header.client in self._contributions:
            raise RefusedDelivery("delivered twice")
        return Delivery(header.client, self._checked_samples(frames[1]))

    def propagate(self, delivery: Delivery) -> None:
        """Send an accepted delivery through the medium."""
        contribution = propagate(self._experiment, self.window, delivery.client, delivery.samples)
        self._contributions[delivery.client] = contribution

    def received(self) -> tuple[NDArray[np.complex64], int]:
        """What the base station's converter gives, complex64 (n_samples,), and its clipped samples."""
        return receive(self._experiment, self.window, self._contributions)

    def _checked_samples(self, frame: bytes | memoryview) -> NDArray[np.complex64]:
        if len(frame) != self.window.n_samples * SAMPLE_BYTES:
            raise RefusedDelivery("wrong sample count")
        samples = np.frombuffer(frame, np.complex64)
        # A comparison with NaN is false, so this refuses everything that is not a finite, possible level.
        if not bool(np.all(np.abs(samples.view(np.float32)) <= TX_PEAK_AMPLITUDE * _LEVEL_ROUNDING)):
            raise RefusedDelivery("impossible samples")
        return samples


def _decoded_header(frames: Sequence[bytes | memoryview]) -> DeliveryHeader:
    if len(frames) != 2 or len(frames[0]) > HEADER_LIMIT:
        raise RefusedDelivery("malformed")
    try:
        return _header_decoder.decode(frames[0])
    except (msgspec.DecodeError, ValueError) as error:
        raise RefusedDelivery("malformed") from error
