"""One Pluto's attributes: what reading and writing each of them does.

Values lie under (device, file). Ranges, enumerations and errno are those of Linux' drivers as far as they are known to
us; what a write changes for the radio side is told to a listener as ``RadioSettings``.
"""

from __future__ import annotations

import dataclasses
import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocol.errors import ConfigurationError
from radio.virtual.attributes import ADC, DAC, PHY, XADC, pluto_inventory
from radio.virtual.context_xml import context_xml
from radio.virtual.protocol import IiodError, Target
from radio.virtual.registers import Registers
from radio.virtual.settings import NOMINAL_CRYSTAL_HZ, RadioSettings
from radio.virtual.values import (
    Values,
    apply_chain,
    as_settings,
    check_available,
    write_control,
    write_fir_config,
    write_fir_enable,
    write_gain_mode,
    write_governor,
    write_lo_frequency,
    write_rate,
    write_receive_gain,
    write_stream_rate,
    write_tone,
    write_transmit_gain,
)

LO_RANGES_HZ = {"ad9363a": (325_000_000, 3_800_000_000), "ad9364": (70_000_000, 6_000_000_000)}
"""Carrier frequencies by what the firmware takes the chip for."""
_READ_ONLY_ENDINGS = ("_available", "_rssi", "_path_rates", "rssi_gain_step_error")
_MEASURED_ENDINGS = ("_raw", "_input", "_offset", "_scale")
_XADC_SCALE, _XADC_OFFSET = 123.040771484, -2219
"""Milli-degrees per code, and the code of 0 degrees."""


@dataclass(frozen=True)
class Identity:
    """What tells one Pluto from another."""

    serial: str
    firmware: str = "v0.38"
    model: str = "ad9363a"
    xo_correction_hz: int = NOMINAL_CRYSTAL_HZ
    """Crystal frequency that the factory stored, Hz."""


class Sensors(Protocol):
    """What the radio side measures for the attributes."""

    def rssi_db(self) -> float:
        """Reading of the power meter, dB."""

    def receive_gain_db(self) -> float:
        """Gain in force, in any gain mode, dB."""

    def temperature_c(self) -> float:
        """Of the transceiver, degrees Celsius."""

    def take_status(self, device: str) -> int:
        """Under- and overflow bits of a converter that came up since the last call."""


class PlutoDevice:
    """The attributes of one Pluto; safe to use from several threads.

    ``changed`` is called, under the device's lock, with the settings after each write that changed them.
    """

    def __init__(self, identity: Identity, sensors: Sensors, changed: Callable[[RadioSettings], None]) -> None:
        self._identity = identity
        self._sensors = sensors
        self._changed = changed
        self._lock = threading.RLock()
        self._inventory = pluto_inventory()
        self._held: frozenset[str] = frozenset()
        self.power_up()

    def power_up(self) -> None:
        """All attributes as after switching on."""
        with self._lock:
            self._values: Values = {
                (device.id, file): value for device in self._inventory.devices for file, value in device.values.items()
            }
            self._registers = Registers(self._sensors.take_status)
            low, high = LO_RANGES_HZ[self._identity.model]
            for lo in ("altvoltage0_RX_LO", "altvoltage1_TX_LO"):
                self._values[PHY, f"out_{lo}_frequency_available"] = f"[{low} 1 {high}]"
            crystal_hz = self._identity.xo_correction_hz
            self._values[PHY, "xo_correction"] = str(crystal_hz)
            self._values[PHY, "xo_correction_available"] = f"[{crystal_hz - 8000} 1 {crystal_hz + 8000}]"
            apply_chain(self._values)
            self.settings = as_settings(self._values)
            self._changed(self.settings)

    @property
    def serial(self) -> str:
        """Serial number, as the context shows it."""
        return self._identity.serial

    def set_serial(self, serial: str) -> None:
        """Give the Pluto another serial number (contexts opened from now on show it)."""
        self._identity = dataclasses.replace(self._identity, serial=serial)

    def hold(self, file: str | None) -> None:
        """From now on writing an attribute file changes nothing; None: all can be changed again.

        Raises ConfigurationError if no device has the file.
        """
        if file is not None and not any(file in device.values for device in self._inventory.devices):
            raise ConfigurationError(f"a Pluto has no attribute file '{file}'")
        with self._lock:
            self._held = self._held | {file} if file is not None else frozenset()

    def context(self) -> bytes:
        """The XML description of the context."""
        revision = "C" if self._identity.model == "ad9363a" else "B"
        attributes = {
            "hw_model": f"Analog Devices PlutoSDR Rev.{revision} (Z7010-{self._identity.model.upper()})",
            "hw_model_variant": "0",
            "hw_serial": self._identity.serial,
            "fw_version": self._identity.firmware,
            "ad9361-phy,xo_correction": self._values[PHY, "xo_correction"],
            "ad9361-phy,model": self._identity.model,
            "local,kernel": "5.15.0-virtual",
        }
        return context_xml(self._inventory, "Linux (none) 5.15.0-virtual airtune virtual Pluto armv7l", attributes)

    def device_id(self, name: str) -> str:
        """Id of the device called ``name`` (id or name). Raises IiodError ENODEV."""
        return self._inventory.device(name).id

    def attribute_names(self, target: Target) -> list[str]:
        """Attributes of a target, in order. Raises IiodError ENODEV or ENXIO."""
        return list(self._inventory.device(target.device).attribute_files(target))

    def read(self, target: Target, attribute: str) -> str:
        """Value of an attribute. Raises IiodError: ENODEV, ENXIO, ENOENT, or what the file has for an errno."""
        device, file = self._file(target, attribute)
        with self._lock:
            if (sensed := self._sensed(device, file)) is not None:
                return sensed
            if (device, file) not in self._values:
                raise IiodError(getattr(errno, self._inventory.device(device).errors[file]), file)
            return self._values[device, file]

    def write(self, target: Target, attribute: str, text: str) -> None:
        """Write an attribute. Raises IiodError: as ``read``, EACCES if it cannot be written, EINVAL on a bad value."""
        device, file = self._file(target, attribute)
        if device == XADC or file.endswith(_READ_ONLY_ENDINGS):
            raise IiodError(errno.EACCES, file)
        if device == PHY and file.startswith("in_") and file.endswith(_MEASURED_ENDINGS):
            raise IiodError(errno.EACCES, file)
        with self._lock:
            if file == "debug/direct_reg_access":
                self._registers.write(device, text)
                return
            # On a copy, so that a refused write changes nothing.
            values = dict(self._values)
            if file == "in_voltage0_gain_control_mode":  # manual control goes on from where the automatic one was
                values[PHY, "in_voltage0_hardwaregain"] = f"{self._sensors.receive_gain_db():.6f} dB"
            _write(values, device, file, text)
            if file in self._held:
                return
            self._values = values
            settings = as_settings(values)
            if settings != self.settings:
                self.settings = settings
                self._changed(settings)

    def _file(self, target: Target, attribute: str) -> tuple[str, str]:
        device = self._inventory.device(target.device)
        file = device.attribute_files(target).get(attribute)
        if file is None:
            raise IiodError(errno.ENOENT, attribute)
        return device.id, file

    def _sensed(self, device: str, file: str) -> str | None:
        """Value of a file that is measured when it is read."""
        if file == "debug/direct_reg_access":
            return self._registers.read(device)
        if (device, file) == (PHY, "in_voltage0_rssi"):
            return f"{self._sensors.rssi_db():.2f} dB"
        if (device, file) == (PHY, "in_voltage0_hardwaregain"):
            return f"{self._sensors.receive_gain_db():.6f} dB"
        if (device, file) == (PHY, "in_temp0_input"):
            return str(round(1000.0 * self._sensors.temperature_c()))
        if (device, file) == (XADC, "in_temp0_raw"):
            return str(round(1000.0 * self._sensors.temperature_c() / _XADC_SCALE) - _XADC_OFFSET)
        return None


_PHY_WRITERS: dict[str, Callable[[Values, str, str], None]] = {
    "in_voltage_sampling_frequency": write_rate,
    "out_voltage_sampling_frequency": write_rate,
    "in_voltage_filter_fir_en": write_fir_enable,
    "out_voltage_filter_fir_en": write_fir_enable,
    "in_out_voltage_filter_fir_en": write_fir_enable,
    "filter_fir_config": write_fir_config,
    "trx_rate_governor": write_governor,
    "in_voltage0_gain_control_mode": write_gain_mode,
    "in_voltage0_hardwaregain": write_receive_gain,
    "out_voltage0_hardwaregain": write_transmit_gain,
    "out_altvoltage0_RX_LO_frequency": write_lo_frequency,
    "out_altvoltage1_TX_LO_frequency": write_lo_frequency,
}


def _write(values: Values, device: str, file: str, text: str) -> None:
    """Change ``values`` as the driver does. Raises IiodError."""
    text = text.strip()
    if device == PHY and file in _PHY_WRITERS:
        _PHY_WRITERS[file](values, file, text)
    elif device in (ADC, DAC) and file.endswith("voltage_sampling_frequency"):
        write_stream_rate(values, device, text)
    elif device == DAC and file.startswith("out_altvoltage"):
        write_tone(values, file, text)
    else:
        if device == PHY:
            check_available(values, file, text)
        write_control(values, device, file, text)
