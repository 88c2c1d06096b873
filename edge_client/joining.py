"""What a client checks and fills in when it is welcomed: that both sides run one experiment, and where the radio is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from protocol.configuration import Experiment
from protocol.errors import ConfigurationError

_OF_THE_MACHINE = ("path", "test_path")
"""Keys of [model] and [data] that may differ: every machine keeps its files where it likes."""


def check_same_experiment(own: Experiment, station: Experiment) -> None:
    """Compare what a client computes from its own file (model, texts, their split) with the base station's.

    Raises ConfigurationError with the key and both values.
    """
    theirs = dict(_shared_values(station))
    for key, value in _shared_values(own):
        if value != theirs[key]:
            raise ConfigurationError(
                f"{key} is {value!r} in this client's experiment and {theirs[key]!r} in the base station's; "
                "start both with the same experiment file"
            )


def _shared_values(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    yield "experiment.seed", experiment.experiment.seed
    yield "training.aggregation", experiment.training.aggregation  # decides which factors the model trains
    for name, table in (("model", experiment.model), ("data", experiment.data)):
        for key, value in msgspec.structs.asdict(table).items():
            if key not in _OF_THE_MACHINE:
                yield f"{name}.{key}", value
    yield "clients.members", [member.name for member in experiment.clients.members]


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
