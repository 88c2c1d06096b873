"""``airtune virtual-pluto``: virtual Plutos for any program that speaks to real ones."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from radio.virtual.testbed import VirtualPlutos

_EXAMPLE = """\
example: airtune virtual-pluto --radio bs=127.0.0.2 --radio jetson-1=127.0.0.3 --medium lab.toml
         iio_info -u ip:127.0.0.2
A radio is at port 30431, where libiio looks for it, or at NAME=ADDRESS:PORT. --control: docs/virtual-pluto.md"""
_RADIO = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,47})=([^:]+)(?::(\d{1,5}))?")


def add_parser(subparsers: Any) -> None:
    """Add ``virtual-pluto`` to the command line."""
    parser = subparsers.add_parser(
        "virtual-pluto",
        description="Serve virtual ADALM-Plutos over the network, joined by a simulated medium, until Ctrl-C.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--radio", metavar="NAME=ADDRESS[:PORT]", action="append", default=[], dest="radios",
        help="one radio and where it listens; given once for each",
    )  # fmt: skip
    parser.add_argument("--medium", metavar="FILE.toml", type=Path, help="losses, fading, crystals, noise figures")
    timing = parser.add_mutually_exclusive_group()
    timing.add_argument("--paced", action="store_true", help="time is the wall clock (default)")
    timing.add_argument("--stepped", action="store_true", help="time moves only on command (advance)")
    timing.add_argument("--on-demand", action="store_true", help="time moves as samples are read, and on command")
    parser.add_argument(
        "--control", metavar="ADDRESS", help="where commands are taken (default: tcp://127.0.0.1:0, a free port)"
    )
    parser.add_argument("--json", action="store_true", help="print the ready line as JSON")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted. Raises ConfigurationError, or AddressInUseError."""
    # Numeric libraries' own threads only get into the way of pieces as small as a tick's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    addresses = _addresses(args.radios)
    from radio.virtual.configuration import load_medium, medium_of
    from radio.virtual.control import DEFAULT_CONTROL_ADDRESS, ControlServer
    from radio.virtual.testbed import VirtualPlutos

    names = list(addresses)
    medium = medium_of({}, names, "medium") if args.medium is None else load_medium(args.medium, names)
    plutos = VirtualPlutos(addresses, medium, args.stepped, args.on_demand)
    plutos.start()
    try:
        control = ControlServer(plutos, args.control or DEFAULT_CONTROL_ADDRESS)
        try:
            print(_ready(plutos, control.address, args.json), flush=True)
            _wait_for_ever()
        finally:
            control.close()
    finally:
        plutos.close()
    return 0


def _wait_for_ever() -> None:
    """Until a signal ends the process: it is heard even in the moment before the wait begins, or by another thread."""
    heard, told = socket.socketpair()
    told.setblocking(False)
    with heard, told:
        before = signal.set_wakeup_fd(told.fileno())
        try:
            while True:
                heard.recv(1)
        finally:
            signal.set_wakeup_fd(before)


def _addresses(radios: list[str]) -> dict[str, tuple[str, int]]:
    """Host and port of each radio by name. Raises ConfigurationError."""
    from radio.virtual.server import DEFAULT_PORT

    if not radios:
        raise ConfigurationError("--radio NAME=ADDRESS is missing; as in --radio bs=127.0.0.2")
    addresses: dict[str, tuple[str, int]] = {}
    for text in radios:
        match = _RADIO.fullmatch(text)
        if match is None or int(match[3] or 0) > 65535:
            raise ConfigurationError(f"--radio {text}: expected NAME=ADDRESS or NAME=ADDRESS:PORT, as in bs=127.0.0.2")
        name, host, port = match[1], match[2], int(match[3] or DEFAULT_PORT)
        if not _is_ipv4(host):
            raise ConfigurationError(f"--radio {text}: '{host}' is no IPv4 address, as 127.0.0.2 is one")
        if name in addresses:
            raise ConfigurationError(f"--radio {text}: there is a radio '{name}' already")
        if port and (host, port) in addresses.values():
            raise ConfigurationError(f"--radio {text}: another radio has this address; give each its own, as 127.0.0.3")
        addresses[name] = host, port
    return addresses


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _ready(plutos: VirtualPlutos, control: str, as_json: bool) -> str:
    """The one line that says everything can be used."""
    engine = plutos.engine
    timing = "on demand" if engine.on_demand else "stepped" if engine.stepped else "paced"
    uris = {name: plutos.uri(name) for name in plutos.servers}
    if as_json:
        return json.dumps({"ready": True, "radios": uris, "control": control, "timing": timing})
    return f"ready: {', '.join(f'{name} {uri}' for name, uri in uris.items())}; control {control}; {timing}"
