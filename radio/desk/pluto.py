"""Both ends of a Pluto by ``radio.pluto``: samples through pyadi-iio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.calibration_file import Calibration
from radio.desk.interface import Samples
from radio.pluto.calibrated import calibrated
from radio.pluto.pluto import Pluto
from radio.pluto.settings import profile_limits, profile_settings

BUFFER_SAMPLES = 1 << 14
KERNEL_BUFFERS = 16
"""An eighth of a second at 2 Msps: how long this machine may look elsewhere."""


def open_pluto(experiment: Experiment, uri: str) -> tuple[Pluto, Calibration | None]:
    """A Pluto with settings and limits of the experiment's radio profile, and its calibration if it has one.

    What speaks against the calibration is among its notes. Raises RadioError, MissingPartError, and DataError if the
    calibration is damaged or another Pluto's.
    """
    pluto = Pluto(uri, profile_limits(experiment.radio))
    directory = experiment.radio.calibration_dir
    try:
        settings = replace(profile_settings(experiment.radio), kernel_buffers=KERNEL_BUFFERS)
        found = calibrated(pluto, settings, Path(directory) if directory else None)
        pluto.configure(found.settings)
    except BaseException:
        pluto.close()
        raise
    pluto.notes.extend(found.warnings)
    return pluto, found.calibration


class PlutoReceiver:
    """Implements ``radio.desk.interface.ReceiveEnd``."""

    def __init__(self, experiment: Experiment, uri: str) -> None:
        self.pluto, self._calibration = open_pluto(experiment, uri)

    @property
    def notes(self) -> list[str]:
        """See ``ReceiveEnd``."""
        return self.pluto.notes

    @property
    def calibration(self) -> Calibration | None:
        """See ``ReceiveEnd``."""
        return self._calibration

    @property
    def identity(self) -> dict[str, str]:
        """See ``ReceiveEnd``."""
        date = "none" if self._calibration is None else self._calibration.date
        pluto = self.pluto
        return {"uri": pluto.uri, "serial": pluto.serial, "firmware": pluto.firmware, "calibration": date}

    def start(self) -> None:
        """See ``ReceiveEnd``."""
        self.pluto.start_receiving(BUFFER_SAMPLES)

    def read(self) -> Samples:
        """See ``ReceiveEnd``."""
        return self.pluto.read()

    def take_overflow(self) -> bool:
        """See ``ReceiveEnd``."""
        return self.pluto.take_overflow()

    def stop(self) -> None:
        """See ``ReceiveEnd``."""
        self.pluto.stop_receiving()

    def recover(self) -> None:
        """See ``ReceiveEnd``."""
        self.pluto.reconnect()

    def close(self) -> None:
        """See ``ReceiveEnd``."""
        self.pluto.close()


class PlutoTransmitter:
    """Implements ``radio.desk.interface.TransmitEnd``."""

    def __init__(self, experiment: Experiment, uri: str) -> None:
        self.pluto, _ = open_pluto(experiment, uri)

    @property
    def notes(self) -> list[str]:
        """See ``TransmitEnd``."""
        return self.pluto.notes

    def send(self, samples: Samples) -> None:
        """See ``TransmitEnd``."""
        try:
            self._send(samples)
        except RadioError:
            if self.pluto.connected:  # a limit, or a refusal: trying again would be the same
                raise
            self.pluto.reconnect()
            self._send(samples)

    def close(self) -> None:
        """See ``TransmitEnd``."""
        self.pluto.close()

    def _send(self, samples: Samples) -> None:
        self.pluto.transmit(samples)
