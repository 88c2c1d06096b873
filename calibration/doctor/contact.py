"""Reaching a Pluto: its URI, and the cause if it does not answer."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.doctor.findings import Check, Finding, Seen
from calibration.doctor.patient import URI
from protocol.errors import AirtuneError
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Limits

OPENING_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Address:
    """Where a Pluto is said to be."""

    name: str
    uri: str


def look_at_uri(address: Address) -> Seen:
    """Whether libiio would understand it."""
    if URI.fullmatch(address.uri):
        return Seen("pass", address.uri)
    if address.uri.startswith("ip="):
        return Seen("fail", address.uri, mend=f"write ip:{address.uri.removeprefix('ip=')}")
    return Seen("fail", f"'{address.uri}' is no URI of libiio")


URI_CHECK: Check[Address] = Check(
    "uri", "libiio takes ip:ADDRESS and usb:, and says 'No device found' to all else",
    "write it as ip:192.168.2.1, usb: or usb:1.5.5 (iio_info -s lists them)", look_at_uri,
)  # fmt: skip
_REACHABLE_WHY = "pyadi-iio says 'No device found' whatever the cause is; this is the cause itself"
_REACHABLE_MEND = "check cable and address (iio_info -s), then power it off and on"


def reach(address: Address, limits: Limits) -> tuple[Finding, Pluto | None]:
    """Open a Pluto. The finding tells why it could not be had."""
    try:
        pluto = Pluto(address.uri, limits, OPENING_TIMEOUT_S)
    except AirtuneError as error:
        return unreachable(address.name, error), None
    model = pluto.context_attributes.get("hw_model", "a Pluto")
    text = f"{model}, serial {pluto.serial}"
    return Finding("reachable", address.name, "pass", text, _REACHABLE_WHY, ""), pluto


def unreachable(name: str, error: AirtuneError) -> Finding:
    """A Pluto that cannot be had, or no more."""
    return Finding("reachable", name, "fail", str(error), _REACHABLE_WHY, _REACHABLE_MEND)
