"""A radio's crystal: how far it is off, and how that moves with temperature."""

from __future__ import annotations

import math

from radio.virtual.configuration import RadioTable
from radio.virtual.settings import NOMINAL_CRYSTAL_HZ


class Crystal:
    """Temperature and true frequency of one radio's reference, over the medium's time."""

    def __init__(self, table: RadioTable, drawn_ppm: float) -> None:
        self.ppm = table.crystal_ppm if table.crystal_ppm is not None else drawn_ppm
        """Error at the warm temperature."""
        self.warm_c = table.temperature_c
        self._table = table

    def temperature_c(self, time_s: float) -> float:
        """Temperature of the transceiver: it approaches ``warm_c`` from below."""
        return self.warm_c - self._table.warm_up_c * math.exp(-time_s / self._table.warm_up_s)

    def frequency_hz(self, time_s: float) -> float:
        """True frequency."""
        away_c = self.temperature_c(time_s) - self._table.temperature_c
        return NOMINAL_CRYSTAL_HZ * (1.0 + 1e-6 * (self.ppm + self._table.crystal_ppm_per_c * away_c))

    @property
    def drifts(self) -> bool:
        """Whether the frequency changes with time."""
        return self._table.crystal_ppm_per_c != 0.0 and self._table.warm_up_c != 0.0
