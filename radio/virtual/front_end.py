"""The radio side of one virtual Pluto: its clocks and carriers, what it sends, and the buffers it fills."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from protocol.random_streams import random_stream
from radio.channel.impairments import draw_phases, with_image
from radio.virtual.attributes import ADC
from radio.virtual.configuration import RadioTable
from radio.virtual.crystal import Crystal
from radio.virtual.reception import Codes, GainControl, ReceiveStream, converter_codes
from radio.virtual.registers import OVERFLOW, UNDERFLOW
from radio.virtual.sample_clock import SampleClock
from radio.virtual.settings import RadioSettings
from radio.virtual.transmission import Samples, TransmitQueue

UNTRACKED_DB = 20.0
"""By how much image and DC offset grow while their tracking is off."""
_SPARE_SAMPLES = 64
"""Made on either side of what one receiver asks for, for the next one."""
_PHASE_TURN = np.pi / 3.0
"""Between a radio's phases as transmitter and as receiver."""


def gain_error_db(errors_db: Sequence[Sequence[float]], gain_db: float) -> float:
    """How far a gain is from its setting: straight lines between pairs (setting, error), level beyond them."""
    return float(np.interp(gain_db, *np.transpose(errors_db))) if errors_db else 0.0


class _Sent(NamedTuple):
    """Samples of a transmitter that were made last."""

    version: int
    first: int
    length: int
    samples: Samples | None


class FrontEnd:
    """State of one radio in the medium; the engine's lock guards it.

    Powers are in dBm at the antenna, samples at the antenna in square roots of mW.
    """

    def __init__(self, table: RadioTable, seed: int, crystal_limit_ppm: float) -> None:
        self.name = table.name
        self.table = table
        self.settings = RadioSettings()
        drawn = random_stream(seed, "virtual crystal", table.name).uniform(-crystal_limit_ppm, crystal_limit_ppm)
        self.crystal = Crystal(table, float(drawn))
        self.phases = draw_phases(random_stream(seed, "virtual hardware phases", table.name))
        self.receive_clock = SampleClock(self.settings.receive_rate_hz)
        self.transmit_clock = SampleClock(self.settings.transmit_rate_hz)
        self.queue = TransmitQueue()
        self._sent = _Sent(-1, 0, 0, None)
        self.gain = GainControl()
        self.streams: list[ReceiveStream] = []
        self.received = 0
        """Sample of the receive clock up to which the streams are filled."""
        self.dead_receive_lo = self.dead_transmit_lo = False
        self.to_lose = 0
        """Samples that a fault will keep from the streams."""
        self.overflow = False
        self.overflows = self.clipped = 0

    def clock_factor(self, time_s: float) -> float:
        """True over nominal frequency of everything that is made from the crystal."""
        return self.crystal.frequency_hz(time_s) / self.settings.xo_correction_hz

    def receive_lo_hz(self, time_s: float) -> float:
        """True carrier of the receiver."""
        return self.settings.receive_lo_hz * self.clock_factor(time_s)

    def transmit_lo_hz(self, time_s: float) -> float:
        """True carrier of the transmitter."""
        return self.settings.transmit_lo_hz * self.clock_factor(time_s)

    @property
    def radiates(self) -> bool:
        """Whether anything leaves the antenna."""
        return self.settings.transmit_lo_on and self.settings.running and not self.dead_transmit_lo

    @property
    def hears(self) -> bool:
        """Whether anything but noise reaches the receiver's converter."""
        return self.settings.receive_lo_on and self.settings.running and not self.dead_receive_lo

    def apply(self, settings: RadioSettings, time_s: float) -> None:
        """Take over changed settings from ``time_s`` on."""
        before, self.settings = self.settings, settings
        rates_moved = (before.receive_rate_hz, before.transmit_rate_hz) != (
            settings.receive_rate_hz,
            settings.transmit_rate_hz,
        )
        self.retune(time_s)
        now = self.transmit_clock.count(time_s)
        if rates_moved:
            self.queue.clear(now)
        self.queue.set_tones(settings.tones, settings.transmit_rate_hz, now)

    def retune(self, time_s: float) -> None:
        """Let the sample clocks follow the crystal."""
        factor = self.clock_factor(time_s)
        for clock, rate_hz in (
            (self.receive_clock, self.settings.receive_rate_hz * factor),
            (self.transmit_clock, self.settings.transmit_rate_hz * factor),
        ):
            if clock.rate_hz != rate_hz:
                clock.set_rate(rate_hz, time_s)

    def amplitude(self) -> float:
        """Amplitude at the antenna of digital full scale."""
        gain_db = self.settings.transmit_gain_db
        gain_db += gain_error_db(self.table.transmit_gain_errors_db, gain_db)
        return float(10.0 ** ((self.table.transmit_full_scale_dbm + gain_db) / 20.0))

    def leakage(self) -> complex:
        """The carrier that leaks, over digital full scale."""
        level_db = self.table.lo_leakage_dbm - self.table.transmit_full_scale_dbm
        return complex(10.0 ** (level_db / 20.0) * np.exp(1j * self.phases.carrier))

    def sent(self, first: int, n: int) -> Samples | None:
        """What the mixer is fed with, image included: complex64 (n,), full scale 1; None if it is silent.

        Receivers ask for nearly the same samples one after the other, so what was made last is kept.
        """
        kept = self._sent
        if kept.version != self.queue.version or not kept.first <= first <= kept.first + kept.length - n:
            begin, length = first - _SPARE_SAMPLES, n + 2 * _SPARE_SAMPLES
            samples = self.queue.window(begin, length)
            if samples is not None:
                samples = with_image(samples, self.table.transmit_image_db, self.phases.image)
            kept = self._sent = _Sent(self.queue.version, begin, length, samples)
        begin = first - kept.first
        return None if kept.samples is None else kept.samples[begin : begin + n]

    def codes(self, at_antenna: Samples) -> Codes:
        """What the converter makes of samples at the antenna: int16 (n, 2); moves the gain control."""
        settings, table = self.settings, self.table
        more_db = 0.0 if settings.quadrature_tracking else UNTRACKED_DB
        received = with_image(at_antenna, table.receive_image_db + more_db, self.phases.image + _PHASE_TURN)
        errors_db = functools.partial(gain_error_db, table.receive_gain_errors_db)
        amplified = self.gain.amplify(received, settings, table.receive_full_scale_dbm, errors_db)
        dc_dbfs = table.receive_dc_dbfs + (0.0 if settings.dc_tracking else UNTRACKED_DB)
        amplified += np.complex64(10.0 ** (dc_dbfs / 20.0) * np.exp(1j * (self.phases.carrier + _PHASE_TURN)))
        codes, clipped = converter_codes(amplified)
        self.clipped += clipped
        return codes

    def deliver(self, codes: Codes) -> None:
        """Hand received samples to everyone who reads."""
        lost_now = min(self.to_lose, len(codes))
        self.to_lose -= lost_now
        codes = codes[lost_now:]
        lost = [stream.push(codes) for stream in self.streams]
        if any(lost):
            self.note_overflow()

    def note_overflow(self) -> None:
        """Samples were lost on their way to a buffer."""
        self.overflow = True
        self.overflows += 1

    def take_status(self, device: str, time_s: float) -> int:
        """DMA status bits of a converter since the last call."""
        if device == ADC:
            bits, self.overflow = (OVERFLOW if self.overflow else 0), False
            return bits
        self.queue.check(self.transmit_clock.count(time_s))
        bits, self.queue.underflow = (UNDERFLOW if self.queue.underflow else 0), False
        return bits
