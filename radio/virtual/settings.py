"""What the radio side of a Pluto needs to know of its attributes: one frozen picture of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

NOMINAL_CRYSTAL_HZ = 40_000_000


class Tone(NamedTuple):
    """One generator of the DDS that is on."""

    quadrature: bool
    """Whether it feeds Q; else I."""
    frequency_hz: float
    phase_deg: float
    scale: float
    """Peak over full scale."""


@dataclass(frozen=True)
class RadioSettings:
    """The set-up of one radio."""

    sample_rate_hz: float = 30.72e6
    """Rate of both converters."""
    receive_decimation: int = 1
    """1 or 8: the FPGA's filter before the receive buffer."""
    transmit_interpolation: int = 1
    """1 or 8: the FPGA's filter after the transmit buffer."""
    receive_lo_hz: float = 2.4e9
    transmit_lo_hz: float = 2.45e9
    receive_lo_on: bool = True
    transmit_lo_on: bool = True
    running: bool = True
    """Whether the chip's state machine transmits and receives."""
    xo_correction_hz: int = NOMINAL_CRYSTAL_HZ
    """What the driver takes the crystal's frequency for."""
    gain_mode: str = "slow_attack"
    manual_gain_db: int = 71
    lowest_gain_db: int = -3
    highest_gain_db: int = 71
    transmit_gain_db: float = -10.0
    tones: tuple[Tone, ...] = ()
    digital_loopback: bool = False
    dc_tracking: bool = True
    quadrature_tracking: bool = True

    @property
    def receive_rate_hz(self) -> float:
        """Rate in the receive buffer, Hz."""
        return self.sample_rate_hz / self.receive_decimation

    @property
    def transmit_rate_hz(self) -> float:
        """Rate in the transmit buffer, Hz."""
        return self.sample_rate_hz / self.transmit_interpolation
