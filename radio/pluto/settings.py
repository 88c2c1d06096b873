"""What a Pluto is set to, and the limits that nobody who uses it can pass by."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.configuration import RadioTable
from protocol.errors import RadioError

LEAST_TRANSMIT_GAIN_DB = -89.75
"""Full attenuation."""


@dataclass(frozen=True)
class Settings:
    """How both halves of a Pluto run; they share clock and carrier."""

    carrier_hz: float
    sample_rate_hz: float = 2e6
    """At least 521e3; below 2.084e6 the chip's FIR filters are on."""
    receive_gain_db: float = 30.0
    """Manual gain, whole dB; the gain control is never left to the chip."""
    transmit_gain_db: float = -30.0
    """Of bursts, steps of a quarter dB, at most 0. Between transmissions it is ``LEAST_TRANSMIT_GAIN_DB``."""
    bandwidth_hz: float | None = None
    """Of both analog filters; default: the sample rate."""
    xo_correction_hz: int | None = None
    """What the crystal's frequency is taken for; default: left as it is."""
    transmit_shift_hz: float = 0.0
    """The transmitter's carrier over the receiver's; tells the leaking carrier from the receiver's DC offset."""
    kernel_buffers: int = 8
    """Receive buffers that the kernel keeps ahead of us."""

    @property
    def transmit_carrier_hz(self) -> float:
        """Carrier of what is sent."""
        return self.carrier_hz + self.transmit_shift_hz


@dataclass(frozen=True)
class Limits:
    """What a Pluto may send. The default is for radios joined by cable."""

    band_hz: tuple[float, float] | None = None
    """Everything sent must lie within it. None: on a cable, wherever the device can."""
    max_transmit_gain_db: float = 0.0
    max_duty: float = 1.0
    """Share of any hour that it may be on the air."""

    def check(self, uri: str, settings: Settings) -> None:
        """Raise RadioError if ``settings`` are beyond the limits."""
        if settings.transmit_gain_db > self.max_transmit_gain_db:
            raise RadioError(
                f"{uri}: transmit gain {settings.transmit_gain_db:g} dB is above the limit of the radio profile, "
                f"{self.max_transmit_gain_db:g} dB (radio.transmit_gain_db)"
            )
        if self.band_hz is None:
            return
        half_hz = 0.5 * settings.sample_rate_hz
        low_hz, high_hz = self.band_hz
        if settings.transmit_carrier_hz - half_hz < low_hz or settings.transmit_carrier_hz + half_hz > high_hz:
            raise RadioError(
                f"{uri}: carrier {settings.transmit_carrier_hz / 1e6:g} MHz with "
                f"{settings.sample_rate_hz / 1e6:g} MHz of bandwidth leaves the band of the radio profile, "
                f"{low_hz / 1e6:g} to {high_hz / 1e6:g} MHz (radio.band_hz)"
            )


def profile_limits(radio: RadioTable) -> Limits:
    """Limits that the radio profile of an experiment sets."""
    band_hz = None if radio.band_hz is None else (radio.band_hz[0], radio.band_hz[1])
    return Limits(band_hz, radio.transmit_gain_db, radio.max_duty)


def profile_settings(radio: RadioTable) -> Settings:
    """Settings that the radio profile of an experiment asks for."""
    return Settings(
        carrier_hz=radio.carrier_hz,
        sample_rate_hz=radio.sample_rate_hz,
        receive_gain_db=radio.receive_gain_db,
        transmit_gain_db=radio.transmit_gain_db,
    )
