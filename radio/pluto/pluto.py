"""One Pluto: opened, configured, received with, sent with, and left silent.

    with Pluto("ip:192.168.2.1", Limits(max_transmit_gain_db=-20.0)) as pluto:
        pluto.configure(Settings(carrier_hz=915e6, receive_gain_db=30.0))
        samples = pluto.receive(100_000)

Its transmitter is off from the moment it is opened but for the time of a transmission; ``radio.pluto.watchdog`` sees to
that when this process does not live to do so.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from protocol.errors import RadioError
from radio.pluto.attributes import (
    RECEIVE_BANDWIDTH,
    RECEIVE_CARRIER,
    RECEIVE_CARRIER_OFF,
    RECEIVE_GAIN,
    RECEIVE_GAIN_MODE,
    SAMPLE_RATE,
    TEMPERATURE,
    TRANSMIT_BANDWIDTH,
    TRANSMIT_CARRIER,
    XO_CORRECTION,
    Attribute,
    agrees,
    number_of,
)
from radio.pluto.connection import RECONNECT_WAITS_S, TIMEOUT_S, Connection
from radio.pluto.settings import Limits, Settings
from radio.pluto.transmission import Transmission

Samples = NDArray[np.complex64]

RECEIVE_CODES = 2048.0
"""Full scale of the 12 bits received."""
BUFFER_SAMPLES = 1 << 14
_STATUS_REGISTER, _OVERFLOW = 0x80000088, 0x4
_FREE = (RECEIVE_CARRIER, RECEIVE_CARRIER_OFF, RECEIVE_BANDWIDTH, RECEIVE_GAIN, RECEIVE_GAIN_MODE, XO_CORRECTION)
"""Attributes that say nothing of what is sent. The sample rate does: it is the width of it."""


class SamplesLostError(RadioError):
    """Received samples were lost on their way; the connection is as good as before."""


class Pluto:
    """A Pluto at ``uri``; a context manager. Not for several threads at once, but for ``stop_transmitting``.

    Every method raises RadioError, one line with URI, attribute and cause. After an I/O error the connection is gone;
    ``reconnect`` makes a new one.
    """

    def __init__(self, uri: str, limits: Limits | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Open and silence it. Raises MissingPartError without libiio or pyadi-iio, RadioError with the errno.

        ``limits``: None is the default of ``Limits``: a cable, where full power may be sent.
        """
        self.uri = uri
        self.settings: Settings | None = None
        """Those in force; None before ``configure``."""
        self._connection = Connection(uri, timeout_s)
        self._transmission = Transmission(self._connection, Limits() if limits is None else limits)
        atexit.register(self.close)

    @property
    def connected(self) -> bool:
        """Whether there is a connection: False after an I/O error."""
        return self._connection.alive

    @property
    def limits(self) -> Limits:
        """What it may send."""
        return self._transmission.limits

    # ---- identity -----------------------------------------------------------------------

    @property
    def serial(self) -> str:
        """Serial number."""
        return self._connection.serial

    @property
    def notes(self) -> list[str]:
        """What the user should know of how it was found: a transmitter that was on."""
        return self._connection.notes

    @property
    def context_attributes(self) -> dict[str, str]:
        """What the context says of itself: ``hw_serial``, ``fw_version``, ``hw_model``, ``ad9361-phy,model``, ..."""
        return dict(self._connection.context.attrs)

    @property
    def firmware(self) -> str:
        """Version of its firmware, as ``v0.38``."""
        return self.context_attributes.get("fw_version", "")

    def temperature_c(self) -> float:
        """Of the transceiver, degrees Celsius."""
        return float(self.read_attribute(TEMPERATURE)) / 1e3

    def read_attribute(self, attribute: Attribute) -> str:
        """Any attribute, as text."""
        return self._connection.read(attribute)

    def write_attribute(self, attribute: Attribute, value: float | str) -> None:
        """Write and read back. Only the receiver's, and the crystal's correction: others could pass its limits by."""
        if attribute not in _FREE:
            raise RadioError(f"{self.uri}: {attribute} is set by configure() and transmit(), which keep the limits")
        self._connection.write(attribute, value)

    # ---- settings -----------------------------------------------------------------------

    def configure(self, settings: Settings) -> None:
        """Set everything, each attribute read back; the transmitter stays off. RadioError beyond the limits."""
        self.limits.check(self.uri, settings)
        self.stop_receiving()
        self.stop_transmitting()
        self.settings = None
        if settings.xo_correction_hz is not None:
            self._connection.write(XO_CORRECTION, str(settings.xo_correction_hz))
        self._set_sample_rate(settings.sample_rate_hz)
        for attribute, value in _attributes(settings):
            self._connection.write(attribute, value)
        self.set_kernel_buffers(settings.kernel_buffers)
        self.settings = settings

    @property
    def in_force(self) -> Settings:
        """The settings; RadioError before ``configure``."""
        if self.settings is None:
            raise RadioError(f"{self.uri}: is not configured yet")
        return self.settings

    def verify(self) -> None:
        """Read all settings back, whoever else may have written. RadioError names the first that is not in force."""
        settings = self.in_force
        rate = (SAMPLE_RATE, str(round(settings.sample_rate_hz)))
        for attribute, value in (rate, *_attributes(settings)):
            found = self.read_attribute(attribute)
            if not agrees(attribute, str(value), found):
                raise RadioError(f"{self.uri}: {attribute} should be {value}, but it reads {found}")

    def _set_sample_rate(self, rate_hz: float) -> None:
        """By pyadi-iio, which loads the filter that a low rate needs; then checked."""
        with self._connection.io(f"setting {SAMPLE_RATE} = {rate_hz:.0f}"):
            try:
                self._connection.sdr.sample_rate = round(rate_hz)
            except ValueError as error:
                raise RadioError(f"{self.uri}: {SAMPLE_RATE} = {rate_hz:.0f} is refused: {error}") from error
        found = self.read_attribute(SAMPLE_RATE)
        if abs(number_of(found) - rate_hz) > (SAMPLE_RATE.tolerance or 0.0):
            raise RadioError(f"{self.uri}: {SAMPLE_RATE} was set to {rate_hz:.0f}, but it reads {found}")

    # ---- receiving ----------------------------------------------------------------------

    def set_kernel_buffers(self, count: int) -> None:
        """Receive buffers that the kernel keeps ahead of us; refused (EBUSY) while anybody receives."""
        with self._connection.io("setting the number of kernel buffers"):
            self._connection.sdr._rxadc.set_kernel_buffers_count(count)

    def set_digital_loopback(self, on: bool) -> None:
        """Whether the receiver gets what is written to the transmitter, bit by bit, instead of what it hears."""
        with self._connection.io("setting the digital loopback"):
            self._connection.sdr.loopback = int(on)

    def start_receiving(self, buffer_samples: int = BUFFER_SAMPLES) -> None:
        """Stream into buffers of this length; what the kernel held from before is thrown away."""
        settings = self.in_force
        self.stop_receiving()
        self._connection.sdr.rx_buffer_size = buffer_samples
        for _ in range(settings.kernel_buffers + 1):
            self.read()
        self.take_overflow()

    def read(self) -> Samples:
        """The next buffer of a stream, complex64, full scale 1 on either part."""
        with self._connection.io("receiving"):
            received = self._connection.sdr.rx()
        samples: Samples = received.astype(np.complex64)
        samples *= np.float32(1.0 / RECEIVE_CODES)
        return samples

    def stop_receiving(self) -> None:
        """End the stream; safe without one."""
        if self._connection.alive:
            self._connection.sdr.rx_destroy_buffer()

    def receive(self, n_samples: int, buffer_samples: int = BUFFER_SAMPLES) -> Samples:
        """``n_samples`` in a row, complex64 (n_samples,), taken after this was called.

        Raises SamplesLostError if some were lost on the way.
        """
        buffer_samples = min(buffer_samples, max(n_samples, 1024))
        self.start_receiving(buffer_samples)
        try:
            pieces = [self.read() for _ in range(-(-n_samples // buffer_samples))]
            if self.take_overflow():
                raise SamplesLostError(
                    f"{self.uri}: samples were lost (overflow): this machine or the link is too slow"
                )
        finally:
            self.stop_receiving()
        return np.concatenate(pieces)[:n_samples]

    def take_overflow(self) -> bool:
        """Whether received samples were lost since this was last asked."""
        with self._connection.io("reading the status register"):
            adc = self._connection.sdr._rxadc
            lost = bool(adc.reg_read(_STATUS_REGISTER) & _OVERFLOW)
            if lost:
                adc.reg_write(_STATUS_REGISTER, _OVERFLOW)
        return lost

    # ---- transmitting -------------------------------------------------------------------

    def transmit(self, samples: Samples) -> None:
        """Send ``samples`` (complex64, full scale 1 on either part) once, from one buffer; returns when they have left.

        Where in time they start cannot be chosen. Raises RadioError, nothing on the air, beyond the duty limit.
        """
        self._transmission.once(samples, self.in_force)

    def transmit_cyclic(self, samples: Samples, at_most_s: float) -> None:
        """Send ``samples`` over and over until ``stop_transmitting``, or for ``at_most_s``, which counts as airtime."""
        self._transmission.cyclic(samples, at_most_s, self.in_force)

    def stop_transmitting(self) -> None:
        """End what is sent over and over; safe without it, and from any thread."""
        self._transmission.stop()

    def begin_transmission(self, airtime_s: float) -> None:
        """Count ``airtime_s``, then carrier on; ``end_transmission`` must follow.

        For flowgraphs, which bring samples of their own. Raises RadioError beyond the limits.
        """
        self._transmission.begin(airtime_s, self.in_force)

    def end_transmission(self) -> None:
        """Carrier down, full attenuation, buffer destroyed."""
        self._transmission.end()

    # ---- life ---------------------------------------------------------------------------

    def reconnect(
        self, waits_s: Sequence[float] = RECONNECT_WAITS_S, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Find the same Pluto again and set it as it was; ``waits_s``: before each try.

        Raises RadioError with the last cause, or if another Pluto answers.
        """
        settings = self.settings
        self._transmission.forget()
        self._connection.reconnect(waits_s, sleep)
        if settings is not None:
            self.configure(settings)

    def close(self) -> None:
        """Transmitter off, buffers and context gone; safe to call twice."""
        atexit.unregister(self.close)
        self._transmission.close()
        self._connection.throw_away()

    def __enter__(self) -> Pluto:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _attributes(settings: Settings) -> list[tuple[Attribute, float | str]]:
    """What settings are written as, in order, but for clock and sample rate."""
    bandwidth_hz = settings.sample_rate_hz if settings.bandwidth_hz is None else settings.bandwidth_hz
    return [
        (RECEIVE_CARRIER_OFF, "0"),
        (RECEIVE_CARRIER, str(round(settings.carrier_hz))),
        (TRANSMIT_CARRIER, str(round(settings.transmit_carrier_hz))),
        (RECEIVE_BANDWIDTH, str(round(bandwidth_hz))),
        (TRANSMIT_BANDWIDTH, str(round(bandwidth_hz))),
        (RECEIVE_GAIN_MODE, "manual"),
        (RECEIVE_GAIN, settings.receive_gain_db),
    ]
