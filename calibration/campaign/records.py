"""One sounding, as the journal keeps it."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from calibration.campaign.plan import Link

_LARGEST_INTEGER = 32767


class Sounding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What one sounding of one link measured. Lists are per RB of the band; levels are at full power."""

    sweep: int
    """From 1."""
    transmitter: str
    receiver: str
    time_s: float
    """Since the campaign's start; counted, not waited for, in simulation."""
    taken_at: str
    """UTC, ISO 8601."""
    detected: bool
    gain_db: list[float] = field(default_factory=list)
    """Channel power gain."""
    level_uncertainty_db: float | None = None
    """Of the level that all gains share, by calibration; None: nominal, or simulated."""
    sinr_db: list[float] = field(default_factory=list)
    noise_db: list[float] = field(default_factory=list)
    """Noise power in the sounding itself, dB relative to full scale."""
    silent_noise_db: list[float] = field(default_factory=list)
    """The same while nobody sent."""
    cfo_hz: float = 0.0
    """Of the transmitter relative to the receiver, corrections taken off."""
    tx_gain_db: float = 0.0
    """Power it was sounded with, relative to full power."""
    clipped_samples: int = 0
    transmitter_m: list[float] | None = None
    receiver_m: list[float] | None = None
    distance_m: float | None = None
    note: str = ""
    window: int = 0
    """Of the sweep's windows, the one that was heard."""
    channel: bytes = b""
    """Channel before smoothing per loaded subcarrier, int16 in-phase and quadrature in turn; level, common phase and
    mean delay are arbitrary."""

    @property
    def link(self) -> Link:
        """Which link was sounded."""
        return Link(self.transmitter, self.receiver)

    @cached_property
    def response(self) -> NDArray[np.complex64]:
        """``channel`` as complex numbers, (loaded subcarriers,)."""
        return np.frombuffer(self.channel, "<i2").astype(np.float32).view(np.complex64)

    @property
    def mean_gain_db(self) -> float:
        """Mean power gain over the band, dB; minus infinity if nothing was heard."""
        return 10.0 * math.log10(self.mean_gain) if self.detected else -math.inf

    @property
    def mean_gain(self) -> float:
        """Mean power gain over the band, linear; 0 if nothing was heard."""
        return float(np.mean(10.0 ** (np.array(self.gain_db) / 10.0))) if self.detected else 0.0


def packed_channel(channel: NDArray[np.complex64]) -> bytes:
    """``channel`` as ``Sounding.channel`` holds it: rounding is 90 dB or more below its largest value."""
    parts = np.ascontiguousarray(channel, np.complex64).view(np.float32)
    largest = float(np.abs(parts).max(initial=0.0)) or 1.0
    return bytes(np.round(parts * (_LARGEST_INTEGER / largest)).astype("<i2"))
