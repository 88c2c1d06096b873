"""Time and frequency grid of the uplink: subcarriers, resource blocks, branches.

Resource block (RB) ``i`` covers the carrier's subcarriers ``-112 + 8 i .. -105 + 8 i`` at 2 Msps; a higher
rate adds RBs on both sides. The carrier's own subcarrier and its neighbours are never loaded, because a
receiver's DC offset sits there. Source: ours (docs/design.md, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ConfigurationError

DECIMATIONS = (8, 4, 2, 1)
UNLOADED_SUBCARRIERS = (-1, 0, 1)


@dataclass(frozen=True)
class Numerology:
    """OFDM grid at the full sample rate; a branch at ``sample_rate_hz / D`` uses FFT and CP over D."""

    sample_rate_hz: float = 2e6
    fft_size: int = 256
    cp: int = 24
    rb_subcarriers: int = 8
    rb_total: int = 28

    def __post_init__(self) -> None:
        if self.fft_size % DECIMATIONS[0] or self.cp % DECIMATIONS[0]:
            raise ConfigurationError(
                f"numerology: FFT size {self.fft_size} and prefix {self.cp} must be multiples of {DECIMATIONS[0]}"
            )
        if self.rb_total * self.rb_subcarriers > self.fft_size:
            raise ConfigurationError(f"numerology: {self.rb_total} RBs do not fit {self.fft_size} subcarriers")

    @property
    def subcarrier_spacing_hz(self) -> float:
        """Distance of two subcarriers, Hz."""
        return self.sample_rate_hz / self.fft_size

    @property
    def rb_bandwidth_hz(self) -> float:
        """Bandwidth of one RB, Hz."""
        return self.rb_subcarriers * self.subcarrier_spacing_hz

    @property
    def bandwidth_hz(self) -> float:
        """Bandwidth of all RBs: the band of the reference SNR, Hz."""
        return self.rb_total * self.rb_bandwidth_hz

    @property
    def symbol_samples(self) -> int:
        """Full-rate samples of one OFDM symbol, prefix included."""
        return self.fft_size + self.cp

    def decimation(self, rb_count: int, guard_rb: int = 1) -> int:
        """Largest of 1, 2, 4, 8 whose branch bandwidth holds the grant and its guard.

        At least one guard RB is counted: the branch filter needs room to fall even where grants touch.
        """
        needed = (rb_count + max(guard_rb, 1)) * self.rb_subcarriers
        return next((d for d in DECIMATIONS if needed * d <= self.fft_size), 1)

    def centre_hz(self, rb_start: int, rb_count: int) -> float:
        """Centre of a grant relative to the carrier, Hz (its subcarrier 0 in the branch)."""
        return self.centre_subcarrier(rb_start, rb_count) * self.subcarrier_spacing_hz

    def centre_subcarrier(self, rb_start: int, rb_count: int) -> int:
        """Carrier subcarrier onto which a grant is centred."""
        first = -(self.rb_total * self.rb_subcarriers // 2) + self.rb_subcarriers * rb_start
        return first + self.rb_subcarriers * rb_count // 2

    def edges_hz(self, rb_start: int, rb_count: int) -> tuple[float, float]:
        """Lower and upper edge of a grant relative to the carrier, half a subcarrier beyond its outermost ones, Hz."""
        middle_hz = self.centre_hz(rb_start, rb_count) - 0.5 * self.subcarrier_spacing_hz
        half_hz = 0.5 * rb_count * self.rb_bandwidth_hz
        return middle_hz - half_hz, middle_hz + half_hz

    def loaded_subcarriers(self, rb_start: int, rb_count: int) -> NDArray[np.int64]:
        """Branch subcarriers a grant loads, ascending: ``-4k .. 4k-1`` without the carrier's three.

        Raises ConfigurationError if the grant leaves the band.
        """
        if rb_start < 0 or rb_count < 1 or rb_start + rb_count > self.rb_total:
            raise ConfigurationError(f"grant of {rb_count} RBs at RB {rb_start} leaves the band of {self.rb_total} RBs")
        return _loaded(self, rb_start, rb_count)


@lru_cache(maxsize=4096)
def _loaded(numerology: Numerology, rb_start: int, rb_count: int) -> NDArray[np.int64]:
    half = numerology.rb_subcarriers * rb_count // 2
    branch = np.arange(-half, -half + numerology.rb_subcarriers * rb_count, dtype=np.int64)
    loaded = branch[~np.isin(branch + numerology.centre_subcarrier(rb_start, rb_count), UNLOADED_SUBCARRIERS)]
    loaded.flags.writeable = False  # shared by every caller
    return loaded


DEFAULT_2MSPS = Numerology()
"""2 Msps: 256 subcarriers of 7.8125 kHz, 28 RBs of 62.5 kHz."""

WIDE_4MSPS = Numerology(sample_rate_hz=4e6, fft_size=512, cp=48, rb_total=56)
"""4 Msps: the same subcarriers, prefix and RBs in time and frequency, twice as many of them."""


def numerology_at(sample_rate_hz: float) -> Numerology:
    """The grid of a sample rate. Raises ConfigurationError if there is none."""
    known = {numerology.sample_rate_hz: numerology for numerology in (DEFAULT_2MSPS, WIDE_4MSPS)}
    if sample_rate_hz not in known:
        rates = ", ".join(f"{rate_hz:g}" for rate_hz in known)
        raise ConfigurationError(f"radio.sample_rate_hz = {sample_rate_hz:g}: numerologies are defined at {rates}")
    return known[sample_rate_hz]
