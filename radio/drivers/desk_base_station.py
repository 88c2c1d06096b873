"""The base station's radio on a desk: a Pluto, or another one through GNU Radio, whose stream is captured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from protocol.bursts import Burst, BurstReport, Window, WindowReport
from protocol.configuration import Experiment
from radio.desk.levels import Levels, gain_offset_db
from radio.drivers.receiving import ReceivingStation
from radio.processes.messages import ArmCapture, EveryoneSent, LinkMessage


class DeskBaseStationRadio(ReceivingStation):
    """Implements ``radio.interface.BaseStationRadio``; for one thread at a time."""

    def __init__(self, experiment: Experiment, iq_directory: Path | None = None) -> None:
        """As ``ReceivingStation``. Raises RadioError if the radio does not answer, with the cause."""
        super().__init__(experiment, "capture", iq_directory)
        self._told_sent = False

    @property
    def radio_address(self) -> str:
        """Empty: the medium is the air, or a cable."""
        return ""

    def arm(self, window: Window, bursts: Sequence[Burst]) -> None:
        """See ``BaseStationRadio``."""
        super().arm(window, bursts)
        self._told_sent = False

    def collect(self, timeout_s: float) -> WindowReport:
        """See ``BaseStationRadio``. The first call says that everyone has sent: the wait for bursts begins to run."""
        if not self._told_sent and self._window is not None:
            self._source.send(EveryoneSent())
            self._told_sent = True
        return super().collect(timeout_s)

    def _order(self, window: Window, bursts: Sequence[Burst]) -> LinkMessage:
        return ArmCapture(window, list(bursts))

    def _physical(self, window: Window, report: BurstReport) -> BurstReport:
        nominal_db = gain_offset_db(self._experiment.radio, Levels(), Levels())
        offset_db = self._source.started.gain_offsets_db.get(report.client, nominal_db)
        return msgspec.structs.replace(
            report,
            gain_db=[gain + offset_db for gain in report.gain_db],
            channel_db=[gain + offset_db for gain in report.channel_db],
        )
