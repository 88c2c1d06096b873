"""A client's radio without samples: it hands its blocks to the base station's radio."""

from __future__ import annotations

import time
from collections.abc import Sequence

from protocol.bursts import Burst, DataBurst, TransmitReport, Window
from protocol.configuration import Experiment
from protocol.errors import AirtuneError, RadioError
from radio.abstract.delivery import delivery_frame
from radio.limits import check_burst, experiment_numerology, transmit_report
from radio.medium_socket import connect_medium
from radio.modem.layout import burst_layout, check_blocks

_CLOSE_LINGER_MS = 2000
"""What was sent last may still be on its way when the radio is closed."""


class AbstractClientRadio:
    """Implements ``radio.interface.ClientRadio``; for one thread at a time."""

    def __init__(self, name: str, experiment: Experiment, radio_address: str) -> None:
        """Raises ConfigurationError if the experiment has no such client or no numerology for its sample rate."""
        experiment.member(name)
        self._name = name
        self._experiment = experiment
        self._numerology = experiment_numerology(experiment)
        self._medium = connect_medium(radio_address)

    def transmit(self, window: Window, burst: Burst, blocks: Sequence[bytes]) -> TransmitReport:
        """See ``ClientRadio``."""
        if self._medium.closed:
            raise RadioError("this client radio is closed")
        began = time.perf_counter()
        try:
            burst_layout(burst, self._numerology)
            check_burst(self._experiment, self._numerology, window, burst)
            if isinstance(burst, DataBurst):
                check_blocks(burst, blocks)
        except AirtuneError as error:
            raise RadioError(f"radio of '{self._name}': {error}") from error
        self._medium.send(delivery_frame(window, self._name, burst, blocks))
        return transmit_report(self._experiment, self._numerology, burst, 0, time.perf_counter() - began)

    def close(self) -> None:
        """See ``ClientRadio``."""
        self._medium.close(_CLOSE_LINGER_MS)
