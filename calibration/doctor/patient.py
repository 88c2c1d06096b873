"""One Pluto under examination."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from calibration import bench
from protocol.configuration import RadioTable
from radio.pluto.attributes import XADC, Attribute, number_of
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Settings

URI = re.compile(r"ip:[\w.\-]+(:\d+)?|usb:[\d.]*|local:|serial:\S+")
_TEMPERATURE_READINGS = 16


@dataclass
class Patient:
    """A Pluto, what it shall be used for, and how time passes around it."""

    name: str
    pluto: Pluto
    profile: RadioTable
    calibrations: Path | None = None
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    temperatures: list[tuple[float, float]] = field(default_factory=list)
    """Time and reading, s and degrees Celsius."""

    @property
    def settings(self) -> Settings:
        """Those of the radio profile, with the buffers that measuring takes."""
        return Settings(
            carrier_hz=self.profile.carrier_hz,
            sample_rate_hz=self.profile.sample_rate_hz,
            receive_gain_db=self.profile.receive_gain_db,
            transmit_gain_db=self.profile.transmit_gain_db,
            kernel_buffers=bench.KERNEL_BUFFERS,
        )

    def take_temperature(self) -> None:
        """Of the FPGA, whose sensor is ten times as fine as the transceiver's; mean of a few readings."""
        offset, scale = (self._sensor(name) for name in ("offset", "scale"))
        raw = sum(self._sensor("raw") for _ in range(_TEMPERATURE_READINGS)) / _TEMPERATURE_READINGS
        self.temperatures.append((self.clock(), (raw + offset) * scale / 1e3))

    def _sensor(self, name: str) -> float:
        return number_of(self.pluto.read_attribute(Attribute(XADC, "temp0", name)))
