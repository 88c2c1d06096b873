"""A client's radio with samples: a transmitter process that delivers to the ether, or sends by a radio on a desk."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.bursts import Burst, TransmitReport, Window
from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.limits import experiment_numerology
from radio.processes.children import Child
from radio.processes.messages import Finish, Start, TransmitBurst, TransmitRefused, Transmitted

_CLOSE_GRACE_S = 5.0
"""A radio on a desk is switched off meanwhile; if that takes longer its watchdog does it."""


class TransmittingClient:
    """Implements ``radio.interface.ClientRadio``; for one thread at a time."""

    def __init__(self, name: str, experiment: Experiment, radio_address: str) -> None:
        """Start the transmitter of client ``name``; it gets ready while the caller goes on.

        Raises ConfigurationError if the experiment has no such client or no numerology for its sample rate. A radio
        that does not answer is told of by ``transmit``.
        """
        experiment.member(name)
        experiment_numerology(experiment)
        self._closed = False
        self._transmitter = Child("transmitter", f"transmitter of '{name}'", Start(experiment, name, radio_address))

    def transmit(self, window: Window, burst: Burst, blocks: Sequence[bytes]) -> TransmitReport:
        """See ``ClientRadio``. Raises MissingPartError if GNU Radio is missing."""
        if self._closed:
            raise RadioError("this client radio is closed")
        self._transmitter.wait_started()
        self._transmitter.send(TransmitBurst(window, burst, list(blocks)))
        answer = self._transmitter.receive()
        if isinstance(answer, Transmitted):
            return answer.report
        reason = answer.reason if isinstance(answer, TransmitRefused) else "its process answers out of turn"
        raise RadioError(f"{self._transmitter.name}: {reason}")

    def close(self) -> None:
        """See ``ClientRadio``."""
        if self._closed:
            return
        self._closed = True
        try:
            self._transmitter.send(Finish())
            self._transmitter.close(_CLOSE_GRACE_S)
        except RadioError:  # it is gone already
            self._transmitter.close()
