"""Measuring the channels of a round: the silent window, first contact, and a sounding burst per client."""

from __future__ import annotations

from dataclasses import dataclass, field

from base_station.channel import Carrier, ChannelMeasurement, barred_rbs, measurement_from_sounding
from base_station.lab import Lab
from base_station.windows import WindowRunner
from radio.soundings import CLIPPED_STEP_DB, MAX_SOUNDING_TRIES, acquisition_burst, sounding_burst


@dataclass(frozen=True)
class Silence:
    """What was heard while nobody sent. Lists are per RB of the band."""

    noise_db: list[float] = field(default_factory=list)
    barred: list[int] = field(default_factory=list)
    """RBs with interference: no grant may contain one."""


@dataclass
class Sounder:
    """Sounds clients one by one; ``carriers`` is kept up to date."""

    lab: Lab
    windows: WindowRunner
    carriers: dict[str, Carrier]
    noise_db: list[float] = field(default_factory=list)
    """Of the silent window, per RB."""

    def listen_to_silence(self) -> Silence:
        """Noise and interference per RB, and the RBs they bar."""
        report = self.windows.silent()
        self.noise_db = report.noise_db
        return Silence(report.noise_db, barred_rbs(report.noise_db, self.lab.experiment.radio.barred_interference_db))

    def measure(self, name: str) -> ChannelMeasurement | None:
        """Gain, SINR per RB and residual CFO over the whole band; None if the client is not heard."""
        if name not in self.carriers and name not in self.lab.roster.left_out:
            self._acquire(name)
        if name not in self.carriers or name in self.lab.roster.left_out:
            return None
        gain_db = 0.0
        for _ in range(MAX_SOUNDING_TRIES):
            correction_hz = self.carriers[name].cfo_correction_hz
            burst = sounding_burst(name, self.windows.burst_id(name), self.lab.numerology, gain_db, correction_hz)
            report = self.windows.sound(burst)
            heard = report.bursts[0]
            if not heard.detected:
                # Its carrier may have moved out of reach (another radio, say): look for it anew next round.
                del self.carriers[name]
                return None
            if report.clipped_samples == 0:
                break
            gain_db -= CLIPPED_STEP_DB
        self.carriers[name] = self.carriers[name].corrected(heard.cfo_hz)
        return measurement_from_sounding(burst, heard, report.clipped_samples, self.noise_db, self.lab.numerology)

    def _acquire(self, name: str) -> None:
        """First contact: find the client's carrier anywhere within the crystals' tolerance."""
        cap_db = self.lab.experiment.radio.psd_cap_db
        burst = acquisition_burst(name, self.windows.burst_id(name), self.lab.numerology, cap_db)
        heard = self.windows.sound(burst).bursts[0]
        if heard.detected:
            self.carriers[name] = Carrier().corrected(heard.cfo_hz)
