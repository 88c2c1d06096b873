"""The two ends of a radio on a desk, as capture and transmitter processes use them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radio.calibration_file import Calibration

Samples = NDArray[np.complex64]


class ReceiveEnd(Protocol):
    """A receiver that streams. Every method raises RadioError."""

    @property
    def notes(self) -> list[str]:
        """What the user should know of the radio."""

    @property
    def calibration(self) -> Calibration | None:
        """What was measured of it; None if nothing was."""

    @property
    def identity(self) -> dict[str, str]:
        """Which radio it is: what tells it from others, and the date of its calibration."""

    def start(self) -> None:
        """Begin to stream; the first sample read was taken after this was called."""

    def read(self) -> Samples:
        """The next samples in a row, some milliseconds of them, full scale 1 on either part."""

    def take_overflow(self) -> bool:
        """Whether samples were lost since this was last asked."""

    def stop(self) -> None:
        """End the stream; safe without one."""

    def recover(self) -> None:
        """Find a radio again that was lost; it does not stream then."""

    def close(self) -> None:
        """Let the radio go; safe to call twice."""


class TransmitEnd(Protocol):
    """A transmitter. Every method raises RadioError."""

    @property
    def notes(self) -> list[str]:
        """What the user should know of the radio."""

    def send(self, samples: Samples) -> None:
        """Send ``samples`` (full scale 1 on either part) once, without a gap; returns when they have left.

        A radio that was lost meanwhile is found again, and the burst sent anew. Raises RadioError, nothing on the air,
        beyond the limits of its profile.
        """

    def close(self) -> None:
        """Transmitter off, radio let go; safe to call twice."""
