"""The base station's simulated radio: samples come from the ether, where client radios deliver them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from protocol.bursts import Burst, BurstReport, Window
from protocol.configuration import Experiment
from radio.channel.levels import digital_gain_offset_db
from radio.channel.medium import check_medium
from radio.drivers.faults import without_lost_blocks
from radio.drivers.receiving import ReceivingStation
from radio.limits import experiment_numerology
from radio.processes.messages import ArmEther, LinkMessage


class SimulatedBaseStationRadio(ReceivingStation):
    """Implements ``radio.interface.BaseStationRadio``; for one thread at a time."""

    def __init__(self, experiment: Experiment, iq_directory: Path | None = None) -> None:
        """As ``ReceivingStation``. Raises AddressInUseError if ``clients.radio_address`` is taken.

        Raises ConfigurationError on an unknown sample rate, or a channel that cannot be.
        """
        experiment_numerology(experiment)
        check_medium(experiment)
        super().__init__(experiment, "ether", iq_directory)

    def _order(self, window: Window, bursts: Sequence[Burst]) -> LinkMessage:
        return ArmEther(window, [burst.client for burst in bursts])

    def _physical(self, window: Window, report: BurstReport) -> BurstReport:
        """Gains as channel power gains, and without the blocks that a fault discards."""
        offset_db = digital_gain_offset_db(self._experiment)
        return msgspec.structs.replace(
            without_lost_blocks(self._experiment, window, report),
            gain_db=[gain + offset_db for gain in report.gain_db],
            channel_db=[gain + offset_db for gain in report.channel_db],
        )
