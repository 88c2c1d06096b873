"""Sending by a Pluto: the carrier is on for no longer than samples leave, and a watchdog knows of it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from protocol.errors import RadioError
from radio.pluto.attributes import TRANSMIT_CARRIER, TRANSMIT_CARRIER_OFF, TRANSMIT_GAIN
from radio.pluto.connection import Connection
from radio.pluto.duty import DutyLedger
from radio.pluto.safety import transmitter_off_at
from radio.pluto.settings import Limits, Settings
from radio.pluto.watchdog import Watchdog

Samples = NDArray[np.complex64]

TRANSMIT_CODES = 32768.0
"""Full scale of the 16 bits written; the upper 12 are sent."""
PLAY_OUT_S = 0.02
"""Wall-clock time beyond its length after which a burst has left the antenna: pipes and converters."""
SETTLE_S = 0.005
"""From the oscillator's power-up to the first sample."""


class Transmission:
    """What a Pluto sends, one thing at a time; ``stop`` from any thread. Every method raises RadioError."""

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self.limits = limits
        self._connection = connection
        self._lock = threading.RLock()
        self._watchdog: Watchdog | None = None
        self._timer: threading.Timer | None = None
        connection.on_loss = self._silence_elsewhere

    def once(self, samples: Samples, settings: Settings) -> None:
        """Send ``samples`` once, from one buffer; returns when they have left."""
        airtime_s = len(samples) / settings.sample_rate_hz
        with self._lock:
            self.begin(airtime_s, settings)
            try:
                self._push(samples, cyclic=False)
                # Destroyed earlier, the buffer would take the rest of the burst with it.
                time.sleep(airtime_s + PLAY_OUT_S)
            finally:
                self.end()

    def cyclic(self, samples: Samples, at_most_s: float, settings: Settings) -> None:
        """Send ``samples`` over and over until ``stop``, or for ``at_most_s``."""
        with self._lock:
            self.begin(at_most_s, settings)
            try:
                self._push(samples, cyclic=True)
                self._timer = threading.Timer(at_most_s, self._time_is_up)
                self._timer.daemon = True
                self._timer.start()
            except BaseException:
                self.forget()
                self.end()
                raise

    def stop(self) -> None:
        """End what is sent over and over; safe without it."""
        with self._lock:
            if self._timer is not None:
                self.end()  # first: one that does not end can be stopped again
                self.forget()

    def begin(self, airtime_s: float, settings: Settings) -> None:
        """Within the limits: count ``airtime_s``, then carrier on. ``end`` must follow."""
        connection = self._connection
        self.stop()
        self.limits.check(connection.uri, settings)
        try:
            DutyLedger(connection.serial, self.limits.max_duty).spend(airtime_s)
        except RadioError as error:
            raise RadioError(f"{connection.uri}: {error}") from error
        self._living_watchdog().carrier_on(airtime_s)
        try:
            connection.write(TRANSMIT_CARRIER, str(round(settings.transmit_carrier_hz)))
            connection.write(TRANSMIT_CARRIER_OFF, "0")
            connection.write(TRANSMIT_GAIN, settings.transmit_gain_db)
        except BaseException:
            self.end()
            raise
        time.sleep(SETTLE_S)

    def end(self) -> None:
        """Carrier down, full attenuation, buffer destroyed, even if the carrier does not obey."""
        if self._connection.alive:
            try:
                self._connection.silence()
                if self._watchdog is not None:
                    self._watchdog.carrier_off()
            finally:
                if self._connection.alive:
                    self._connection.sdr.tx_destroy_buffer()

    def forget(self) -> None:
        """Nothing is sent over and over any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Transmitter off for good, or left to the watchdog if it cannot be reached; safe to call twice."""
        with self._lock:
            self.forget()
            silent = False
            with suppress(RadioError):
                self.end()
                silent = self._connection.alive
            if self._watchdog is not None:
                (self._watchdog.dismiss if silent else self._watchdog.release)()
                self._watchdog = None

    def _living_watchdog(self) -> Watchdog:
        if self._watchdog is not None and not self._watchdog.alive:
            self._watchdog.dismiss()
            self._watchdog = None
        if self._watchdog is None:
            self._watchdog = Watchdog(self._connection.uri)
        return self._watchdog

    def _push(self, samples: Samples, cyclic: bool) -> None:
        codes = np.round(np.ascontiguousarray(samples, np.complex64).view(np.float32) * np.float32(TRANSMIT_CODES))
        whole = np.clip(codes, -TRANSMIT_CODES, TRANSMIT_CODES - 16).astype(np.float32).view(np.complex64)
        with self._connection.io("sending"):
            sdr = self._connection.sdr
            sdr.tx_destroy_buffer()
            sdr.tx_cyclic_buffer = cyclic
            sdr.tx(whole)

    def _time_is_up(self) -> None:
        # What is gone, or does not obey, its user will hear of with the next question.
        with suppress(RadioError), self._lock:
            if self._timer is threading.current_thread():  # else another transmission has begun meanwhile
                self.stop()

    def _silence_elsewhere(self) -> str:
        """The connection is gone: try to switch a transmitter that was used off over a new one; what came of it."""
        if self._watchdog is None:
            return ""
        try:
            transmitter_off_at(self._connection.uri)
        except (OSError, RadioError):
            return "; its transmitter may be on"
        self._watchdog.carrier_off()
        return "; its transmitter is off"
