"""Real base station and client ends on real sockets, for the tests of the control plane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from protocol.control import ClientControl, Rejection, StationControl
from protocol.control.station import Event
from protocol.keys import ClientKeys, KeyPair, new_pair
from protocol.messages import Ready, StationMessage, Welcome

WAIT_S = 20.0
WELCOME = Welcome("run", b"{}", b"k" * 32, b"{}", "tcp://127.0.0.1:1")
READY = Ready(
    round_index=1, samples=10, compute_s=1.0, loss=2.0, curve=[(0, 1.0), (800, 0.5)], lora_energy=0.5,
    head_energy=0.5, exact_energy=0.5, cosine_mean=0.1, cosine_worst=0.2, residual_energy=0.0,
)  # fmt: skip


class Testbed:
    """A base station that knows ``names``, and whatever clients a test connects to it."""

    __test__ = False

    def __init__(self, stack: ExitStack, names: list[str]) -> None:
        self._stack = stack
        self.pair = new_pair()
        self.client_pairs = {name: new_pair() for name in names}
        self.station = self.start_station("tcp://127.0.0.1:0")

    def start_station(self, address: str) -> StationControl:
        allowed = {name: pair.public for name, pair in self.client_pairs.items()}
        self.station = StationControl(address, self.pair, allowed)
        self._stack.callback(self.station.close)
        return self.station

    def client(self, name: str, pair: KeyPair | None = None, **patience_s: float) -> ClientControl:
        keys = ClientKeys(pair or self.client_pairs[name], self.pair.public)
        client = ClientControl(self.station.address, name, keys, **patience_s)
        self._stack.callback(client.close)
        return client

    def joined(self, name: str) -> ClientControl:
        """A client that was welcomed."""
        client = self.client(name)
        self.welcome(name)
        assert self.next_message(client) == WELCOME
        return client

    def welcome(self, name: str) -> None:
        self.next_event("hello", name)
        assert self.station.send(name, WELCOME)

    def next_event(self, kind: str, name: str | None = None) -> Event:
        """The next event of this kind (a message's tag, or ``rejection``), others skipped."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            event = self.station.receive(end - time.monotonic())
            if event and kind == _kind(event) and name in (None, event[0]):
                return event
        raise AssertionError(f"no {kind} from {name} within {WAIT_S} s")

    @staticmethod
    def next_message(client: ClientControl) -> StationMessage:
        message = client.receive(WAIT_S)
        assert message is not None
        return message


def _kind(event: Event) -> str:
    message = event[1]
    return "rejection" if isinstance(message, Rejection) else str(message.__struct_config__.tag)


@contextmanager
def testbed(*names: str) -> Iterator[Testbed]:
    with ExitStack() as stack:
        yield Testbed(stack, list(names))


testbed.__test__ = False  # type: ignore[attr-defined]
