"""What a client checks and fills in when it is welcomed: that both sides run one experiment, and where its radio is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from protocol.configuration import HARDWARE_DRIVERS, Experiment
from protocol.errors import ConfigurationError

_OF_THE_MACHINE = ("path", "test_path")
"""Keys of [model] and [data] that may differ: every machine keeps its files where it likes."""
_OF_A_DESK = (
    "driver", "carrier_hz", "sample_rate_hz", "connection", "cable_attenuation_db", "band_hz", "licence",
    "transmit_gain_db", "max_duty",
)  # fmt: skip
"""Keys of [radio] that say what a radio on a desk may send: a base station cannot change them from afar."""


def check_same_experiment(own: Experiment, station: Experiment) -> None:
    """Compare what a client computes from its own file (model, texts, their split) with the base station's.

    Raises ConfigurationError with the key and both values.
    """
    on_desk = any(experiment.radio.driver in HARDWARE_DRIVERS for experiment in (own, station))
    theirs = dict(_shared_values(station, on_desk))
    for key, value in _shared_values(own, on_desk):
        if value != theirs[key]:
            raise ConfigurationError(
                f"{key} is {value!r} in this client's experiment and {theirs[key]!r} in the base station's; "
                "start both with the same experiment file"
            )


def _shared_values(experiment: Experiment, on_desk: bool) -> Iterator[tuple[str, Any]]:
    yield "experiment.seed", experiment.experiment.seed
    yield "training.aggregation", experiment.training.aggregation  # decides which factors the model trains
    for name, table in (("model", experiment.model), ("data", experiment.data)):
        for key, value in msgspec.structs.asdict(table).items():
            if key not in _OF_THE_MACHINE:
                yield f"{name}.{key}", value
    for key in _OF_A_DESK if on_desk else ():
        yield f"radio.{key}", getattr(experiment.radio, key)
    yield "clients.members", [member.name for member in experiment.clients.members]


def with_own_radio(name: str, own: Experiment, station: Experiment) -> Experiment:
    """The base station's experiment with the uri that client ``name``'s radio has on this machine."""
    uri = own.member(name).uri
    members = [msgspec.structs.replace(m, uri=uri) if m.name == name else m for m in station.clients.members]
    return msgspec.structs.replace(station, clients=msgspec.structs.replace(station.clients, members=members))


def reachable_radio_address(radio_address: str, station_address: str) -> str:
    """``radio_address`` as this client can use it.

    A base station that listens on every interface, or on loopback, does not know by which address a client reaches
    it; the host of ``station_address``, which the client connected to, does. It is left alone if that is loopback.
    """
    radio, station = urlsplit(radio_address), urlsplit(station_address)
    if radio.scheme != "tcp" or station.hostname is None:
        return radio_address
    if not (_is_loopback(radio.hostname) or _is_wildcard(radio.hostname)) or _is_loopback(station.hostname):
        return radio_address
    host = f"[{station.hostname}]" if ":" in station.hostname else station.hostname
    return f"tcp://{host}:{radio_address.rpartition(':')[2]}"


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    address = _ip_address(host)
    return address is not None and address.is_loopback


def _is_wildcard(host: str | None) -> bool:
    if host == "*":
        return True
    address = _ip_address(host)
    return address is not None and address.is_unspecified


def _ip_address(host: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host or "")
    except ValueError:
        return None
