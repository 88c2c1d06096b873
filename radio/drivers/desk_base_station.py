"""The base station's radio on a desk: a Pluto, or another one through GNU Radio, whose stream is captured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from protocol.bursts import Burst, BurstReport, Window, WindowReport
from protocol.configuration import Experiment
from radio.desk.levels import Levels, gain_offset_db
from radio.drivers.receiving import ReceivingStation
from radio.processes.messages import ArmCapture, EveryoneSent, LinkMessage

SURPRISE_DB = 10.0
"""By how much a gain may exceed the cable's: levels are nominal without a calibration."""


class DeskBaseStationRadio(ReceivingStation):
    """Implements ``radio.interface.BaseStationRadio``; for one thread at a time."""

    def __init__(self, experiment: Experiment, iq_directory: Path | None = None) -> None:
        """As ``ReceivingStation``. Raises RadioError if the radio does not answer, with the cause."""
        super().__init__(experiment, "capture", iq_directory)
        self._told_sent = False
        self._doubted: set[str] = set()

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
        report = super().collect(timeout_s)
        return msgspec.structs.replace(report, warnings=[*report.warnings, *self._doubts(report)])

    def _doubts(self, report: WindowReport) -> list[str]:
        """What is wrong with levels, each said once: a receiver that clips, clients louder than their cable allows."""
        radio = self._experiment.radio
        doubts = {}
        if report.clipped_samples:
            doubts["clipping"] = (
                f"the receiver clips ({report.clipped_samples} samples of a {report.window.kind} window): lower "
                f"radio.receive_gain_db ({radio.receive_gain_db:g}) or radio.transmit_gain_db"
            )
        for burst in report.bursts if radio.connection == "cable" else ():
            gain_db = max(burst.gain_db, default=-math.inf)
            if gain_db > SURPRISE_DB - radio.cable_attenuation_db:
                doubts[f"gain of {burst.client}"] = (
                    f"client '{burst.client}' arrives with {gain_db:.0f} dB, but radio.cable_attenuation_db is "
                    f"{radio.cable_attenuation_db:g}: check the attenuators before a receiver is damaged"
                )
        new = [text for about, text in doubts.items() if about not in self._doubted]
        self._doubted.update(doubts)
        return new

    def _order(self, window: Window, bursts: Sequence[Burst]) -> LinkMessage:
        return ArmCapture(window, list(bursts))

    def _physical(self, window: Window, report: BurstReport) -> BurstReport:
        measured_db = self._source.started.gain_offsets_db.get(report.client)
        nominal_db = gain_offset_db(self._experiment.radio, Levels(), Levels())
        offset_db = nominal_db if measured_db is None else measured_db.value
        return msgspec.structs.replace(
            report,
            gain_db=[gain + offset_db for gain in report.gain_db],
            channel_db=[gain + offset_db for gain in report.channel_db],
            level_uncertainty_db=None if measured_db is None else measured_db.uncertainty,
        )
