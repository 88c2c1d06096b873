"""A Pluto with what was measured of it: its own file, looked for by serial number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from radio.calibration_file import Calibration, load_for, now_utc, warnings_of
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Settings


@dataclass(frozen=True)
class Calibrated:
    """Settings with the crystal's correction in them, the calibration, and what speaks against it."""

    settings: Settings
    calibration: Calibration | None
    warnings: list[str]


def calibrated(pluto: Pluto, settings: Settings, directory: Path | None) -> Calibrated:
    """What ``directory`` has for a Pluto that shall be set to ``settings``; they are not written yet.

    Without a file, settings are as they were. Raises DataError if its file is damaged or another Pluto's, RadioError.
    """
    found = None if directory is None else load_for(pluto.serial, settings.carrier_hz, directory)
    if found is None:
        return Calibrated(settings, None, [])
    warnings = warnings_of(found, now_utc(), pluto.temperature_c(), pluto.firmware, settings.carrier_hz)
    if found.crystal is not None:
        settings = replace(settings, xo_correction_hz=found.crystal.xo_correction_hz)
    return Calibrated(settings, found, warnings)
