"""The ``Radio`` interface: windows, bursts and nothing else (docs/design.md, section 3).

The base station arms a window and is receiving before any client is told to go. A client asks for
a burst in a window and may not choose the sample: the driver starts it anywhere in the first
``jitter_samples``. The same holds for simulated, virtual and real radios; one contract suite
(``tests/radio/test_radio_contract.py``) runs on every driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from protocol.bursts import Burst, TransmitReport, Window, WindowReport


class BaseStationRadio(Protocol):
    """The receiving end."""

    @property
    def radio_address(self) -> str:
        """Where client radios find the medium; empty where the medium is the air."""

    @property
    def identity(self) -> dict[str, str]:
        """Which radio it is, for the run's manifest: serial number, firmware, calibration; empty for one simulated."""

    def arm(self, window: Window, bursts: Sequence[Burst]) -> None:
        """Start receiving ``window``; returns once samples are being taken.

        ``bursts`` are what the receiver looks for: client, RBs, MCS, length and burst id, never timing,
        CFO, gain or noise; one per client. Raises RadioError if a window is armed already or the radio
        has failed, ConfigurationError or RadioError on a burst that cannot be, MissingPartError if the machine
        lacks what the radio needs.
        """

    def collect(self, timeout_s: float) -> WindowReport:
        """Wait for the armed window to close and be decoded.

        Raises RadioError after ``timeout_s`` of wall clock (the window stays armed: ``leave_out`` and collect
        again), if no window is armed, or as soon as a part of the radio has failed.
        """

    def leave_out(self, client: str) -> None:
        """``client`` is gone: do not wait for it in the armed window (a medium that cannot tell needs the hint)."""

    def close(self) -> None:
        """End every process and thread of the radio; safe to call twice."""


class ClientRadio(Protocol):
    """The transmitting end."""

    def transmit(self, window: Window, burst: Burst, blocks: Sequence[bytes]) -> TransmitReport:
        """Put ``burst`` on the air in ``window``; ``blocks`` are the block contents (none for a sounding).

        Returns once the samples are on the air, not waiting for the window to close.
        Raises RadioError if the radio fails or the burst breaks the limits of its profile; nothing is on the
        air then.
        """

    def close(self) -> None:
        """Transmitter off; end every process and thread; safe to call twice."""
