"""A Pluto's context and attributes: opened so that causes of failures show, written and read back."""

from __future__ import annotations

import errno
import os
from typing import Any, NamedTuple

from protocol.errors import RadioError
from radio.pluto.libraries import load_libiio

PHY, ADC, DAC, XADC = "ad9361-phy", "cf-ad9361-lpc", "cf-ad9361-dds-core-lpc", "xadc"
ANSWERS = frozenset({errno.EINVAL, errno.EACCES, errno.EOPNOTSUPP, errno.ENOENT, errno.ENXIO, errno.EBUSY, errno.EPERM})
"""errno by which a device answers that it will not: the connection is as good as before."""


class Attribute(NamedTuple):
    """Where an attribute is: of a channel, or of the device itself if ``channel`` is empty."""

    device: str
    channel: str
    name: str
    output: bool = False
    tolerance: float | None = None
    """How far a number may read from what was written: the device rounds. None: they are compared as text."""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.device, self.channel, self.name]))


RECEIVE_CARRIER = Attribute(PHY, "altvoltage0", "frequency", True, 5.0)
TRANSMIT_CARRIER = Attribute(PHY, "altvoltage1", "frequency", True, 5.0)
RECEIVE_CARRIER_OFF = Attribute(PHY, "altvoltage0", "powerdown", True)
TRANSMIT_CARRIER_OFF = Attribute(PHY, "altvoltage1", "powerdown", True)
RECEIVE_GAIN = Attribute(PHY, "voltage0", "hardwaregain", False, 0.5)
RECEIVE_GAIN_MODE = Attribute(PHY, "voltage0", "gain_control_mode")
TRANSMIT_GAIN = Attribute(PHY, "voltage0", "hardwaregain", True, 0.13)
RECEIVE_BANDWIDTH = Attribute(PHY, "voltage0", "rf_bandwidth", False, 2e5)
TRANSMIT_BANDWIDTH = Attribute(PHY, "voltage0", "rf_bandwidth", True, 2e5)
SAMPLE_RATE = Attribute(PHY, "voltage0", "sampling_frequency", False, 4.0)
XO_CORRECTION = Attribute(PHY, "", "xo_correction", False, 0.0)
TEMPERATURE = Attribute(PHY, "temp0", "input")
TONES = tuple(f"altvoltage{i}" for i in range(4))
"""Channels of the DAC's tone generators."""


def open_context(uri: str, timeout_s: float) -> Any:
    """An ``iio.Context``. Raises MissingPartError, or RadioError with the errno, which pyadi-iio keeps to itself."""
    iio = load_libiio()
    try:
        context = iio.Context(uri)
    except OSError as error:
        raise RadioError(f"{uri}: cannot be opened: {cause_of(error)}{_hint(uri, error)}") from error
    except UnicodeEncodeError as error:
        raise RadioError(f"{uri}: is no URI of libiio, as ip:192.168.2.1 and usb: are") from error
    context.set_timeout(round(1e3 * timeout_s))
    for device in (PHY, ADC, DAC):
        if context.find_device(device) is None:
            raise RadioError(f"{uri}: is no Pluto: it has no device {device}")
    return context


def read_attribute(context: Any, attribute: Attribute) -> str:
    """Value as the device tells it. Raises OSError, and RadioError if there is no such attribute."""
    return str(_holder(context, attribute)[attribute.name].value)


def write_attribute(context: Any, attribute: Attribute, value: float | str, uri: str) -> None:
    """Write, and read back. Raises OSError, and RadioError naming what was wanted and what it reads."""
    text = value if isinstance(value, str) else f"{value:.6f}".rstrip("0").rstrip(".")
    holder = _holder(context, attribute)
    try:
        holder[attribute.name].value = text
    except OSError as error:
        if error.errno in ANSWERS:
            raise RadioError(f"{uri}: {attribute} = {text} is refused: {cause_of(error)}") from error
        raise
    found = str(holder[attribute.name].value)
    if not agrees(attribute, text, found):
        raise RadioError(f"{uri}: {attribute} was set to {text}, but it reads {found}")


def number_of(text: str) -> float:
    """The number at the start of an attribute's text (``50.000000 dB``)."""
    return float(text.split()[0])


_MEANINGS = {errno.EBUSY: "; another program uses it", errno.EPIPE: "; it does not answer any more"}


def cause_of(error: OSError) -> str:
    """``Connection refused (errno 111)``, and what it means where the words do not say it."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{reason} (errno {error.errno}){_MEANINGS.get(error.errno or 0, '')}"


def agrees(attribute: Attribute, wanted: str, found: str) -> bool:
    """Whether what an attribute reads is what was wanted, as far as its device can tell."""
    if attribute.tolerance is None:
        return wanted.strip() == found.strip()
    try:
        return abs(number_of(wanted) - number_of(found)) <= attribute.tolerance
    except (ValueError, IndexError):
        return False


def _holder(context: Any, attribute: Attribute) -> Any:
    """What has the attribute: a mapping by name."""
    device = context.find_device(attribute.device)
    holder = device if not attribute.channel or device is None else device.find_channel(
        attribute.channel, attribute.output
    )  # fmt: skip
    if holder is None or attribute.name not in holder.attrs:
        raise RadioError(f"this Pluto has no attribute {attribute}; its firmware may be too old")
    return holder.attrs


def _hint(uri: str, error: OSError) -> str:
    """What to do about it, where that is known."""
    if error.errno == errno.ECONNREFUSED:
        return "; nobody listens there: the Pluto is starting, or its iiod has ended (power it off and on)"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT):
        return "; is it plugged in, and is this its address?"
    if error.errno in (errno.EINVAL, errno.ENOSYS) and not uri.startswith(("ip:", "usb:", "serial:", "local:")):
        return "; a URI is as ip:192.168.2.1 or usb:"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "; your user may not use it: install the udev rules of libiio"
    return ""
