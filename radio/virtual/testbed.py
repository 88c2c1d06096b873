"""All virtual Plutos of one process: built, served, put out of order on command, ended.

    with virtual_plutos(["bs", "edge-1"], stepped=True) as plutos:
        sdr = adi.Pluto(uri=plutos.uri("bs"))
        plutos.control(Advance(samples=100_000))

``VirtualPlutos.control`` takes the commands of the control port, without one.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from protocol.errors import AirtuneError, ConfigurationError, RadioError
from radio.virtual.commands import carry_out
from radio.virtual.configuration import MediumFile, medium_of
from radio.virtual.control_messages import Answer, Command, RadioStatus
from radio.virtual.engine import Engine
from radio.virtual.server import DEFAULT_PORT, RadioServer
from radio.virtual.virtual_pluto import VirtualPluto


class VirtualPlutos:
    """Radios by name at their addresses (host, port), joined by ``medium``; ``start`` before use, ``close`` after."""

    def __init__(
        self,
        addresses: Mapping[str, tuple[str, int]],
        medium: MediumFile,
        stepped: bool = False,
        on_demand: bool = False,
    ) -> None:
        self.engine = Engine(medium, tuple(addresses), stepped, on_demand)
        self.servers = {
            name: RadioServer(VirtualPluto(name, self.engine), host, port) for name, (host, port) in addresses.items()
        }

    def start(self) -> None:
        """Listen at every address. Raises AddressInUseError or ConfigurationError, and listens nowhere then."""
        try:
            for server in self.servers.values():
                server.plug_in()
        except AirtuneError:
            self.close()
            raise
        self.engine.start()

    def close(self) -> None:
        """End every connection and thread; safe to call twice."""
        for server in self.servers.values():
            server.unplug()
        self.engine.close()

    def uri(self, name: str) -> str:
        """Where libiio finds a radio."""
        return self.server(name).uri

    def server(self, name: str) -> RadioServer:
        """A radio's server. Raises ConfigurationError if there is none of that name."""
        if name not in self.servers:
            raise ConfigurationError(f"there is no radio '{name}'; there are: {', '.join(self.servers)}")
        return self.servers[name]

    def control(self, command: Command) -> Answer:
        """Do what a command of the control port says. Raises ConfigurationError if it cannot be done."""
        carry_out(self, command)
        with self.engine.lock:
            time_s = self.engine.time_s()
            return Answer(time_s=time_s, radios=[self._status(server, time_s) for server in self.servers.values()])

    def advance(self, samples: int, radio: str | None = None) -> None:
        """Stepped time: until ``radio`` (default: the first) took so many samples more."""
        self.engine.advance(samples, radio)

    def _status(self, server: RadioServer, time_s: float) -> RadioStatus:
        front_end = server.radio.front_end
        return RadioStatus(
            name=front_end.name,
            uri=server.uri,
            serial=server.radio.device.serial,
            plugged_in=server.plugged_in,
            connections=server.connections,
            samples=front_end.receive_clock.count(time_s),
            overflows=front_end.overflows,
            underflows=front_end.queue.underflows,
            clipped=front_end.clipped,
        )


@contextmanager
def virtual_plutos(
    names: Sequence[str],
    medium: Mapping[str, Any] | None = None,
    stepped: bool = False,
    on_demand: bool = False,
) -> Iterator[VirtualPlutos]:
    """Virtual Plutos in this process, each at a free loopback address of its own, for as long as the context lasts.

    ``medium``: the content of a medium file. Time is paced, ``stepped``, or moves ``on_demand`` of who reads.
    Raises ConfigurationError.
    """
    checked = medium_of(dict(medium or {}), names, "medium")
    plutos = VirtualPlutos(dict(zip(names, free_addresses(), strict=False)), checked, stepped, on_demand)
    plutos.start()
    try:
        yield plutos
    finally:
        plutos.close()


def free_addresses() -> Iterator[tuple[str, int]]:
    """Loopback addresses at whose default port nobody listens, other ones for other processes.

    Clients of libiio lose a port of their own when they copy a context, so every radio gets an address of its own.
    """
    start = os.getpid() * 64
    for number in itertools.islice(itertools.count(start), 1 << 16):
        host = f"127.{1 + number // 62500 % 250}.{1 + number // 250 % 250}.{2 + number % 250}"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, DEFAULT_PORT))
            except OSError:
                continue
        yield host, DEFAULT_PORT
    raise RadioError("no loopback address is free for a virtual Pluto")
