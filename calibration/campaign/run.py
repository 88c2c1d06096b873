"""Measuring a campaign: sweep after sweep over all links, each sounding kept before the next begins."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from calibration.campaign.journal import Journal, utc_now
from calibration.campaign.plan import SIMULATED, WINDOWS_PER_SOUNDING, CampaignPlan, Link
from calibration.campaign.radios import CampaignRadios
from calibration.campaign.recordings import CampaignRecordings
from calibration.campaign.records import Sounding, packed_channel
from protocol.bursts import BurstReport, SoundingBurst, Window, WindowKind, WindowReport
from protocol.random_streams import derive_seed
from radio.limits import experiment_numerology, window_samples
from radio.modem import burst_air_samples
from radio.recordings import RECORDINGS
from radio.soundings import (
    CLIPPED_STEP_DB,
    MAX_SOUNDING_TRIES,
    SILENT_WINDOW_SAMPLES,
    acquisition_burst,
    sounding_burst,
)

LATE_AFTER = 0.5
"""Of an interval: how late a sweep may begin until that is told."""


class Clock(Protocol):
    """The time that passes between sweeps."""

    def now_s(self) -> float:
        """Since any moment."""

    def wait_until(self, time_s: float) -> None:
        """Return at ``time_s``, or at once if it is over."""


class WallClock:
    """The machine's."""

    def now_s(self) -> float:
        """Monotonic."""
        return time.monotonic()

    def wait_until(self, time_s: float) -> None:
        """Sleep."""
        while (left_s := time_s - self.now_s()) > 0.0:
            time.sleep(left_s)


def run_campaign(
    journal: Journal, progress: Callable[[Sounding], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None, clock: Clock | None = None,
) -> None:  # fmt: skip
    """Measure what ``journal`` does not hold yet; ``progress`` hears of every sounding, ``warn`` what radios say.

    Raises what the radios raise, and StorageError; what was measured until then is kept.
    """
    sweeper = _Sweeper(journal, progress, warn, clock or WallClock())
    with CampaignRadios(journal.plan, journal.directory.resolve() / RECORDINGS, journal.note_radio) as radios:
        sweeper.measure(radios)


class _Timed(NamedTuple):
    """When a sounding is made: on the campaign's time axis."""

    sweep: int
    time_s: float


@dataclass
class _Sweeper:
    journal: Journal
    progress: Callable[[Sounding], None]
    warn: Callable[[str], None]
    clock: Clock
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    in_time: bool = True
    """No sweep began late so far."""

    def __post_init__(self) -> None:
        self.plan: CampaignPlan = self.journal.plan
        self.numerology = experiment_numerology(self.plan.experiment)
        self.recordings = CampaignRecordings(self.journal.directory, self.plan)
        self.corrections: dict[Link, float] = {}
        """Carrier correction of each link whose carrier is known, Hz."""
        self.silence: dict[tuple[int, str], list[float]] = {}
        """Noise per RB by sweep and receiver."""
        for sounding in self.journal.soundings:
            self._learn(sounding)

    def measure(self, radios: CampaignRadios) -> None:
        links, done = self.plan.links, len(self.journal.soundings)
        counted = self.plan.experiment.radio.driver in SIMULATED
        # An interrupted campaign's time goes on where it stopped.
        origin_s = self.clock.now_s() - (self.journal.soundings[-1].time_s if done else 0.0)
        for number in range(done, len(links) * self.plan.sweeps):
            sweep, place = 1 + number // len(links), number % len(links)
            if counted:
                now = self.plan.nominal_s(sweep)
            else:
                if place == 0:
                    self.clock.wait_until(origin_s + self.plan.nominal_s(sweep))
                now = self.clock.now_s() - origin_s
                if place == 0:
                    self._tell_lateness(_Timed(sweep, now))
            sounding = self._sound(radios, links[place], _Timed(sweep, now), place)
            self.journal.append(sounding)
            self._learn(sounding)
            if place == len(links) - 1:
                self.recordings.finish(sweep, self.journal.soundings[-len(links) :])
            self.progress(sounding)

    def _tell_lateness(self, at: _Timed) -> None:
        late_s, interval_s = at.time_s - self.plan.nominal_s(at.sweep), self.plan.campaign.interval_s
        if self.in_time and late_s > LATE_AFTER * interval_s:
            self.in_time = False
            self.warn(f"sweep {at.sweep} begins {late_s:.1f} s late: a sweep takes longer than campaign.interval_s, "
                      f"{interval_s:g} s; the next one begins as soon as it ends")  # fmt: skip

    def _sound(self, radios: CampaignRadios, link: Link, at: _Timed, place: int) -> Sounding:
        first = place * WINDOWS_PER_SOUNDING
        if (at.sweep, link.receiver) not in self.silence:
            window = self._window(at, first, "silent", SILENT_WINDOW_SAMPLES)
            report = self._listen(radios, link.receiver, at, window, None)
            self.silence[at.sweep, link.receiver] = [round(level, 3) for level in report.noise_db]
        if link not in self.corrections:
            self._acquire(radios, link, at, first + 1)
        if link not in self.corrections:
            return self._record(link, at, None, None, first + 1)
        gain_db = 0.0
        for index in range(first + 2, first + 2 + MAX_SOUNDING_TRIES):
            burst = sounding_burst(
                link.transmitter, self._burst_id(at.sweep, index, link.transmitter), self.numerology, gain_db,
                self.corrections[link],
            )  # fmt: skip
            report = self._hear(radios, link, at, index, "sounding", burst)
            if report.clipped_samples == 0 or not report.bursts[0].detected:
                break
            gain_db -= CLIPPED_STEP_DB
        return self._record(link, at, burst, report, index)

    def _acquire(self, radios: CampaignRadios, link: Link, at: _Timed, index: int) -> None:
        burst_id = self._burst_id(at.sweep, index, link.transmitter)
        cap_db = self.plan.experiment.radio.psd_cap_db
        burst = acquisition_burst(link.transmitter, burst_id, self.numerology, cap_db)
        heard = self._hear(radios, link, at, index, "acquisition", burst).bursts[0]
        if heard.detected:
            self.corrections[link] = -heard.cfo_hz

    def _hear(
        self, radios: CampaignRadios, link: Link, at: _Timed, index: int, kind: WindowKind, burst: SoundingBurst
    ) -> WindowReport:
        air = burst_air_samples(burst, self.numerology)
        samples = window_samples(air, self.plan.experiment.radio.jitter_samples)
        return self._listen(radios, link.receiver, at, self._window(at, index, kind, samples), burst)

    def _listen(
        self, radios: CampaignRadios, receiver: str, at: _Timed, window: Window, burst: SoundingBurst | None
    ) -> WindowReport:
        report = radios.hear(receiver, at.time_s, window, burst)
        for text in report.warnings:
            self.warn(f"{receiver}: {text}")
        return report

    def _window(self, at: _Timed, index: int, kind: WindowKind, samples: int) -> Window:
        return Window(self.session, at.sweep, index, kind, -(-samples // 8) * 8)

    def _burst_id(self, sweep: int, index: int, transmitter: str) -> int:
        return derive_seed(self.plan.experiment.experiment.seed, "burst", sweep, index, transmitter) >> 1

    def _learn(self, sounding: Sounding) -> None:
        """What the next soundings need to know of this one; the same whether it was just made or read again."""
        if sounding.detected:
            self.corrections[sounding.link] = -sounding.cfo_hz
        else:
            # Its carrier may have moved out of reach: look for it anew.
            self.corrections.pop(sounding.link, None)
        self.silence[sounding.sweep, sounding.receiver] = sounding.silent_noise_db

    def _record(
        self, link: Link, at: _Timed, burst: SoundingBurst | None, report: WindowReport | None, index: int
    ) -> Sounding:
        ends = [self.plan.stop(name, at.time_s) for name in (link.transmitter, link.receiver)]
        distance_m = self.plan.distance_m(link, at.time_s)
        place = Sounding(
            sweep=at.sweep, transmitter=link.transmitter, receiver=link.receiver, time_s=round(at.time_s, 6),
            taken_at=utc_now(),
            detected=False, silent_noise_db=self.silence[at.sweep, link.receiver],
            transmitter_m=ends[0].position_m if ends[0] is not None else None,
            receiver_m=ends[1].position_m if ends[1] is not None else None,
            distance_m=round(distance_m, 3) if distance_m is not None else None,
            note="; ".join(dict.fromkeys(stop.note for stop in ends if stop is not None and stop.note)), window=index,
        )  # fmt: skip
        if burst is None or report is None or not report.bursts[0].detected:
            return place
        return _measured(place, burst, report.bursts[0], report.clipped_samples)


def _measured(place: Sounding, burst: SoundingBurst, heard: BurstReport, clipped_samples: int) -> Sounding:
    """``place`` with what was heard there, referred to full power; levels to a thousandth of a dB."""
    return msgspec.structs.replace(
        place,
        detected=True,
        gain_db=[round(level, 3) for level in heard.gain_db],
        level_uncertainty_db=heard.level_uncertainty_db,
        sinr_db=[round(level - burst.tx_gain_db, 3) for level in heard.sinr_db],
        noise_db=[round(level, 3) for level in heard.noise_db],
        cfo_hz=heard.cfo_hz - burst.cfo_correction_hz,
        tx_gain_db=burst.tx_gain_db,
        clipped_samples=clipped_samples,
        channel=packed_channel(np.frombuffer(heard.channel, np.complex64)),
    )
