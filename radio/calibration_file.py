"""What was measured of one Pluto at one carrier: a versioned file that drivers use by themselves (docs/calibration.md).

Written by ``airtune calibrate``, one JSON file per serial number and carrier in ``radio.calibration_dir``. Gains are
those of a setting, relative to the setting at which the gain is the setting itself.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from protocol.errors import DataError
from protocol.files import write_atomically
from radio.quantity import Quantity, root_sum_square

VERSION: Literal[1] = 1
OLD_DAYS = 30
"""A calibration older than this is used with a warning."""
MOVED_C = 10.0
"""So is one taken at a temperature further away than this: crystals move by up to some ppm."""
NEAR_CARRIER = 0.05
"""Gains hold within this part of the carrier they were measured at; crystals at any."""
_LARGEST_FILE = 1 << 20

Serial = Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{1,64}$")]


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Gain(_Table, frozen=True, kw_only=True):
    """The gain of one setting."""

    setting_db: float
    gain_db: Quantity


class Crystal(_Table, frozen=True, kw_only=True):
    """``xo_correction`` at which a radio agrees with a reference."""

    xo_correction_hz: Annotated[int, Meta(ge=30_000_000, le=50_000_000)]
    left_ppm: Quantity
    """Offset that is left: the correction moves in whole hertz."""
    sounding_ppm: Quantity | None = None
    """The same as the modem's own sounding tells it; None at sample rates that the modem does not use."""
    reference: Serial


class Transmitter(_Table, frozen=True, kw_only=True):
    """The transmitting half."""

    gains: list[Gain]
    image_db: Quantity
    """Mirror image over the signal."""
    carrier_db: Quantity
    """Leaking carrier over a tone 6 dB below full scale, whose gain setting moves both."""


class Receiver(_Table, frozen=True, kw_only=True):
    """The receiving half."""

    gains: list[Gain]
    image_db: Quantity
    dc_dbfs: Quantity
    noise_dbfs_hz: Quantity
    """Noise density, at the gain setting ``noise_gain_db``."""
    noise_gain_db: float
    noise_figure_db: Quantity | None = None
    full_scale_dbm: Quantity | None = None
    """Power at the antenna that is digital full scale at gain 0 dB."""


class CableReference(_Table, frozen=True, kw_only=True):
    """A cable of known attenuation between a transmitter and this receiver: what turns readings into channel gain."""

    name: Annotated[str, Meta(max_length=200)]
    """Of the client, or the URI, that the transmitter was called by."""
    transmitter: Serial
    attenuation_db: Quantity
    offset_db: Quantity
    """Received over sent digital level without both gains and the cable: one full scale over the other."""
    date: str


class Calibration(_Table, frozen=True, kw_only=True):
    """A whole file."""

    version: Literal[1] = VERSION
    serial: Serial
    firmware: str
    date: str
    """UTC, ISO 8601."""
    temperature_c: float
    carrier_hz: Annotated[float, Meta(gt=0.0)]
    sample_rate_hz: Annotated[float, Meta(gt=0.0)]
    crystal: Crystal | None = None
    transmitter: Transmitter | None = None
    receiver: Receiver | None = None
    references: list[CableReference] = []

    def reference_of(self, transmitter: str) -> CableReference | None:
        """The cable reference from a transmitter to this receiver."""
        return next((r for r in self.references if r.transmitter == transmitter), None)

    def moved(self, temperature_c: float) -> bool:
        """Whether it was taken at another temperature."""
        return abs(temperature_c - self.temperature_c) > MOVED_C

    def age(self, now: datetime) -> timedelta:
        """How old it is."""
        return now - _time_of(self.date)


def now_utc() -> datetime:
    """The time that calibrations are dated with."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def load_for(serial: str, carrier_hz: float, directory: Path) -> Calibration | None:
    """The calibration of a Pluto taken nearest to a carrier; None if there is none at all.

    Raises DataError if a file of its name is damaged, of another version, or of another Pluto.
    """
    found = [_read(path, serial) for path in sorted(directory.glob(f"{_stem(serial)}-*MHz.json"))]
    return min(found, key=lambda c: abs(math.log(c.carrier_hz / carrier_hz)), default=None)


def save(calibration: Calibration, directory: Path) -> Path:
    """Write it, whole or not at all; cable references from transmitters it does not name are kept.

    Raises StorageError, or DataError if a file is in its place that is not this Pluto's.
    """
    path = directory / f"{_stem(calibration.serial)}-{calibration.carrier_hz / 1e6:.3f}MHz.json"
    if path.exists():
        named = {r.transmitter for r in calibration.references}
        older = [r for r in _read(path, calibration.serial).references if r.transmitter not in named]
        calibration = msgspec.structs.replace(calibration, references=[*calibration.references, *older])
    write_atomically(path, msgspec.json.format(msgspec.json.encode(calibration), indent=2), b"\n")
    return path


def warnings_of(
    calibration: Calibration, now: datetime, temperature_c: float, firmware: str, carrier_hz: float
) -> list[str]:
    """Why its values may be wrong now, one line each; empty if nothing speaks against them."""
    told = []
    again = "run airtune calibrate again"
    days = calibration.age(now).days
    if days > OLD_DAYS:
        told.append(f"Pluto {calibration.serial} was calibrated {days} days ago; {again}")
    if calibration.moved(temperature_c):
        told.append(
            f"Pluto {calibration.serial} was calibrated at {calibration.temperature_c:.0f} degrees, it has "
            f"{temperature_c:.0f} now; let it warm up, or {again}"
        )
    if calibration.firmware != firmware:
        told.append(
            f"Pluto {calibration.serial} was calibrated with firmware {calibration.firmware}, "
            f"it runs {firmware}; {again}"
        )
    if abs(calibration.carrier_hz / carrier_hz - 1.0) > NEAR_CARRIER:
        told.append(
            f"Pluto {calibration.serial} was calibrated at {calibration.carrier_hz / 1e6:g} MHz, not at "
            f"{carrier_hz / 1e6:g} MHz: only its crystal's correction holds there; {again}"
        )
    return told


def gain_at(gains: Sequence[Gain], setting_db: float) -> Quantity:
    """Gain of any setting: straight lines between those measured, the nearest one's error beyond them.

    Between two settings it is less sure, by up to half of what their errors differ.
    """
    if not gains:
        return Quantity(setting_db, 0.0)
    settings = [gain.setting_db for gain in gains]
    errors = [gain.gain_db.value - gain.setting_db for gain in gains]
    uncertainty = float(np.interp(setting_db, settings, [gain.gain_db.uncertainty for gain in gains]))
    upper = bisect.bisect_left(settings, setting_db)
    if 0 < upper < len(gains):
        part = (setting_db - settings[upper - 1]) / (settings[upper] - settings[upper - 1])
        bent = abs(errors[upper] - errors[upper - 1]) * math.sqrt(part * (1.0 - part))
        uncertainty = root_sum_square((uncertainty, bent))
    return Quantity(setting_db + float(np.interp(setting_db, settings, errors)), uncertainty)


def channel_gain_db(
    level_db: Quantity, sender: Calibration, transmit_db: float, receiver: Calibration, receive_db: float
) -> Quantity | None:
    """Channel gain (received over sent power at the antennas) from a reading; None without a cable reference.

    ``level_db``: received over sent digital level; ``transmit_db``, ``receive_db``: the gain settings.
    """
    reference = receiver.reference_of(sender.serial)
    if reference is None or sender.transmitter is None or receiver.receiver is None:
        return None
    sent, received = gain_at(sender.transmitter.gains, transmit_db), gain_at(receiver.receiver.gains, receive_db)
    return level_db.minus(sent).minus(received).minus(reference.offset_db)


def _read(path: Path, serial: str) -> Calibration:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE)
        found = msgspec.json.decode(data, type=Calibration)
        _time_of(found.date)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(
            f"{path}: is no calibration of version {VERSION} ({error}); remove it and run airtune calibrate"
        ) from error
    if found.serial != serial:
        raise DataError(f"{path}: is the calibration of Pluto {found.serial}, not of {serial}; remove it")
    return found


def _stem(serial: str) -> str:
    """Serial number as part of a file name."""
    return re.sub(r"[^0-9A-Za-z]", "", serial) or "unknown"


def _time_of(date: str) -> datetime:
    time = datetime.fromisoformat(date)
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
