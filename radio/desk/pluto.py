"""Both ends of a Pluto by ``radio.pluto``: samples through pyadi-iio."""

from __future__ import annotations

from dataclasses import replace

from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.desk.interface import Samples
from radio.pluto.pluto import Pluto
from radio.pluto.settings import profile_limits, profile_settings

BUFFER_SAMPLES = 1 << 14
KERNEL_BUFFERS = 16
"""An eighth of a second at 2 Msps: how long this machine may look elsewhere."""


def open_pluto(experiment: Experiment, uri: str) -> Pluto:
    """A Pluto with settings and limits of the experiment's radio profile. Raises RadioError and MissingPartError."""
    pluto = Pluto(uri, profile_limits(experiment.radio))
    try:
        pluto.configure(replace(profile_settings(experiment.radio), kernel_buffers=KERNEL_BUFFERS))
    except BaseException:
        pluto.close()
        raise
    return pluto


class PlutoReceiver:
    """Implements ``radio.desk.interface.ReceiveEnd``."""

    def __init__(self, experiment: Experiment, uri: str) -> None:
        self.pluto = open_pluto(experiment, uri)

    @property
    def notes(self) -> list[str]:
        """See ``ReceiveEnd``."""
        return self.pluto.notes

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
        self.pluto = open_pluto(experiment, uri)

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
