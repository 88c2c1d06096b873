"""Windows of one round: numbering them, telling clients to go, and taking in what the radio heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from base_station.clients import Roster
from base_station.store.records import BurstRecord, SignalRecord, SpectrumRecord
from base_station.store.signals import signal_record, spectrum_record
from protocol.bursts import Burst, DataBurst, SoundingBurst, TransmitReport, Window, WindowKind, WindowReport
from protocol.configuration import RadioTable
from protocol.errors import RadioError
from protocol.messages import DataGo, Sent, SoundingGo
from protocol.random_streams import derive_seed
from radio.interface import BaseStationRadio
from radio.limits import window_samples
from radio.modem import burst_air_samples, burst_coded_bits
from radio.numerology import Numerology
from radio.soundings import SILENT_WINDOW_SAMPLES

RADIO_TIMEOUT_S = 60.0
"""Wall-clock limit for the radio to decode a window once every client has sent or is left out."""


@dataclass
class WindowRunner:
    """Runs the windows of one round and keeps their record."""

    radio: BaseStationRadio
    roster: Roster
    numerology: Numerology
    settings: RadioTable
    seed: int
    session: str
    round_index: int
    next_index: int = 0
    bursts: list[BurstRecord] = field(default_factory=list)
    signals: list[SignalRecord] = field(default_factory=list)
    spectra: list[SpectrumRecord] = field(default_factory=list)
    transmissions: dict[str, list[TransmitReport]] = field(default_factory=dict)
    model_s: float = 0.0
    """Time the windows of this round took, jitter and guards included."""
    refused: int = 0
    """Deliveries to the radio that did not count."""
    airtime_s: float = 0.0
    """Time at least one client was on the air."""

    def burst_id(self, client: str) -> int:
        """Identity of the client's burst in the coming window; both ends seed training and scrambling by it."""
        return derive_seed(self.seed, "burst", self.round_index, self.next_index, client) >> 1

    def silent(self) -> WindowReport:
        """Listen while nobody sends."""
        window = self._window("silent", SILENT_WINDOW_SAMPLES)
        self.radio.arm(window, [])
        self.model_s += window.n_samples / self.settings.sample_rate_hz
        report = self.radio.collect(RADIO_TIMEOUT_S)
        self.spectra.append(spectrum_record(report))
        return report

    def sound(self, burst: SoundingBurst) -> WindowReport:
        """Hear one client's sounding burst."""
        kind: WindowKind = "acquisition" if burst.acquisition else "sounding"
        return self._run(kind, [burst], [0])

    def data(self, bursts: Sequence[DataBurst], passes: Sequence[int]) -> WindowReport:
        """Hear the data bursts of all granted clients at once, each in its own RBs."""
        return self._run("data", bursts, passes)

    def _run(self, kind: WindowKind, bursts: Sequence[Burst], passes: Sequence[int]) -> WindowReport:
        air = max(burst_air_samples(b, self.numerology) for b in bursts)
        window = self._window(kind, window_samples(air, self.settings.jitter_samples))
        self.radio.arm(window, bursts)
        for burst in bursts:
            self.roster.send(burst.client, self._go(window, burst))
        sent = self._await_sent(window, [b.client for b in bursts])
        for name, message in sent.items():
            self.transmissions.setdefault(name, []).append(message.report)
        report = self._collect([b.client for b in bursts])
        on_air = [burst_air_samples(b, self.numerology) for b in bursts if b.client not in report.lost]
        self.model_s += window.n_samples / self.settings.sample_rate_hz
        self.airtime_s += max(on_air, default=0) / self.settings.sample_rate_hz
        self._record(window, bursts, passes, report)
        return report

    def _collect(self, clients: Sequence[str]) -> WindowReport:
        """The window's report; clients that said they sent, but from whom nothing came, are left out of the round."""
        try:
            report = self.radio.collect(RADIO_TIMEOUT_S)
        except RadioError:
            for name in clients:
                self.radio.leave_out(name)
            report = self.radio.collect(RADIO_TIMEOUT_S)
        for name in report.lost:
            self.roster.leave_out(name, "nothing of its burst came within the window")
        for text in report.warnings:
            self.roster.warn(text)
        if report.refused:
            self.refused += sum(report.refused.values())
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.refused.items()))
            self.roster.warn(f"deliveries to the radio were refused: {reasons}")
        return report

    def _await_sent(self, window: Window, clients: Sequence[str]) -> dict[str, Sent]:
        sent = self.roster.gather(clients, Sent, lambda _, m: m.window_index == window.index
                                  and m.round_index == window.round_index)  # fmt: skip
        for name in clients:
            if name in self.roster.left_out:
                self.radio.leave_out(name)
        return sent

    def _window(self, kind: WindowKind, n_samples: int) -> Window:
        rounded = -(-n_samples // 8) * 8
        window = Window(self.session, self.round_index, self.next_index, kind, rounded)
        self.next_index += 1
        return window

    @staticmethod
    def _go(window: Window, burst: Burst) -> SoundingGo | DataGo:
        return DataGo(window, burst) if isinstance(burst, DataBurst) else SoundingGo(window, burst)

    def _record(self, window: Window, bursts: Sequence[Burst], passes: Sequence[int], report: WindowReport) -> None:
        self.spectra.append(spectrum_record(report))
        heard = {r.client: r for r in report.bursts}
        for burst, pass_index in zip(bursts, passes, strict=True):
            if burst.client in report.lost:
                continue
            got = heard[burst.client]
            if got.constellation:  # detected, by a radio that has samples
                self.signals.append(signal_record(window, got))
            self.bursts.append(
                BurstRecord(
                    round_index=window.round_index, window_index=window.index, client=burst.client, kind=window.kind,
                    pass_index=pass_index, rb_start=burst.rb_start, rb_count=burst.rb_count,
                    mcs=burst.mcs if isinstance(burst, DataBurst) else "", tx_gain_db=burst.tx_gain_db,
                    detected=got.detected, start_sample=got.start_sample, cfo_hz=got.cfo_hz, snr_db=got.snr_db,
                    evm_db=got.evm_db, blocks=len(got.blocks), blocks_failed=sum(b is None for b in got.blocks),
                    blocks_combined=got.blocks_combined,
                    air_samples=burst_air_samples(burst, self.numerology),
                    air_bits=burst_coded_bits(burst, self.numerology) if isinstance(burst, DataBurst) else 0,
                    clipped_samples=report.clipped_samples,
                )
            )  # fmt: skip
