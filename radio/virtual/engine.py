"""Time in the medium: wall clock (paced) or steps (stepped), and the lock that guards everything in it.

Paced: a thread fills the receive buffers every few milliseconds while one is open. Stepped: nothing moves but by
``advance``, so the same commands give the same samples; on demand, reading itself advances as far as it needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from protocol.errors import ConfigurationError
from radio.virtual.configuration import MediumFile
from radio.virtual.front_end import FrontEnd
from radio.virtual.medium import Medium
from radio.virtual.reception import ReceiveStream, mean_power
from radio.virtual.transmission import Samples

TICK_S = 0.004
"""Paced: time between two fillings of the receive buffers."""
LARGEST_BACKLOG_S = 0.25
"""Paced: what the medium is behind by more than this is lost, and reported as an overflow."""
LARGEST_ADVANCE = 1 << 24
"""Stepped: samples of one command."""
UNREAD_LIMIT = 1 << 24
"""Stepped: samples that may wait in a buffer."""
_STEP = 1 << 14
_HISTORY_S = 0.02
_PROBE_S = 1e-3


class Engine:
    """Time, medium and radios of one server. ``lock`` guards the front ends; every method takes it by itself.

    ``on_demand``: stepped, and whoever waits for samples moves time until they exist.
    """

    def __init__(self, file: MediumFile, names: tuple[str, ...], stepped: bool, on_demand: bool = False) -> None:
        self.stepped = stepped or on_demand
        self.on_demand = on_demand
        self.lock = threading.RLock()
        medium = file.medium
        self.front_ends: Mapping[str, FrontEnd] = {
            name: FrontEnd(file.radio_of(name), medium.seed, medium.crystal_ppm) for name in names
        }
        self.medium = Medium(file, self.front_ends)
        self._stepped_s = 0.0
        self._started_s = time.monotonic()
        self._work = threading.Condition(self.lock)
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin: time counts from here. Paced time needs a thread, until ``close``."""
        self._started_s = time.monotonic()
        if not self.stepped:
            self._thread = threading.Thread(target=self._run, name="virtual-medium", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread; whoever waits for samples or room is let go."""
        with self.lock:
            self._ending = True
            self._work.notify_all()
            for front_end in self.front_ends.values():
                for stream in front_end.streams:
                    stream.close()
        if self._thread is not None:
            self._thread.join()

    def time_s(self) -> float:
        """Seconds since the start."""
        return self._stepped_s if self.stepped else time.monotonic() - self._started_s

    def open_stream(self, name: str, stream: ReceiveStream) -> None:
        """Fill ``stream`` from now on."""
        with self.lock:
            front_end = self.front_ends[name]
            if not front_end.streams:
                front_end.received = front_end.receive_clock.count(self.time_s())
            front_end.streams.append(stream)
            self._work.notify_all()

    def close_stream(self, name: str, stream: ReceiveStream) -> None:
        """Fill it no more."""
        with self.lock:
            if stream in self.front_ends[name].streams:
                self.front_ends[name].streams.remove(stream)
            stream.close()

    def advance(self, samples: int, name: str | None = None) -> dict[str, int]:
        """Let time pass until the radio ``name`` (default: the first) took ``samples`` more; samples taken by each.

        Raises ConfigurationError if time is not stepped, the number is too large, or a buffer would overflow.
        """
        with self.lock:
            self._check_advance(samples)
            clock = self.front_ends[name or next(iter(self.front_ends))].receive_clock
            first = clock.count(self._stepped_s)
            for done in range(0, samples, _STEP):
                goal = first + min(samples, done + _STEP)
                self._stepped_s = clock.time_s(goal)
                self._fill(self._stepped_s)
            return {front_end.name: front_end.receive_clock.count(self._stepped_s) for front_end in self._all()}

    def supply(self, name: str, stream: ReceiveStream, wanted: int) -> None:
        """On demand: let time pass until ``wanted`` samples of a radio's ``stream`` can be read; else nothing."""
        if self.on_demand:
            with self.lock:
                self.advance(stream.lacking_samples(wanted), name)

    def lose(self, name: str, samples: int) -> None:
        """The next ``samples`` of a radio never reach its receive buffers: an overflow."""
        with self.lock:
            front_end = self.front_ends[name]
            front_end.to_lose += samples
            front_end.note_overflow()

    def catch_up(self) -> None:
        """Paced: fill the receive buffers up to now, before something changes that past samples know nothing of."""
        if not self.stepped:
            with self.lock:
                self._fill(self.time_s())

    def recent(self, name: str) -> Samples:
        """The last millisecond at a radio's antenna, in square roots of mW."""
        with self.lock:
            front_end = self.front_ends[name]
            n = max(64, int(_PROBE_S * front_end.settings.receive_rate_hz))
            return self.medium.at_antenna(front_end, front_end.receive_clock.count(self.time_s()) - n, n)

    def recent_power_mw(self, name: str) -> float:
        """Mean power of ``recent``."""
        return mean_power(self.recent(name))

    def _all(self) -> list[FrontEnd]:
        return list(self.front_ends.values())

    def _check_advance(self, samples: int) -> None:
        if not self.stepped:
            raise ConfigurationError("time is paced by the wall clock; start with --stepped to advance it")
        if not 0 <= samples <= LARGEST_ADVANCE:
            raise ConfigurationError(f"advance by {samples} samples: at most {LARGEST_ADVANCE} at a time")
        for front_end in self._all():
            waiting = max((stream.unread_samples for stream in front_end.streams), default=0)
            if waiting > UNREAD_LIMIT:
                raise ConfigurationError(f"radio '{front_end.name}' has {waiting} samples unread; read them first")

    def _run(self) -> None:
        """The thread of paced time."""
        with self.lock:
            while not self._ending:
                if any(front_end.streams for front_end in self._all()):
                    self._work.wait(TICK_S)
                    self._fill(self.time_s())
                else:
                    self._work.wait()

    def _fill(self, time_s: float) -> None:
        """Bring every open receive buffer up to ``time_s``."""
        listening = [front_end for front_end in self._all() if front_end.streams]
        # What a medium that fell behind has still to give its receivers must not be forgotten yet.
        filled_s = min((f.receive_clock.time_s(f.received) for f in listening), default=time_s)
        for front_end in self._all():
            if front_end.crystal.drifts:
                front_end.retune(time_s)
            clock = front_end.transmit_clock
            front_end.queue.check(clock.count(time_s))
            front_end.queue.forget_before(clock.count(filled_s) - int(_HISTORY_S * clock.rate_hz))
        for front_end in listening:
            self._fill_one(front_end, time_s)

    def _fill_one(self, front_end: FrontEnd, time_s: float) -> None:
        goal = front_end.receive_clock.count(time_s)
        n = goal - front_end.received
        if not self.stepped:
            # What nobody can keep is not made: a medium that fell behind must not fall behind further.
            rooms = [room for stream in front_end.streams if (room := stream.room_samples) is not None]
            n = min(n, max(rooms), int(LARGEST_BACKLOG_S * front_end.receive_clock.rate_hz))
        if n > 0:
            front_end.deliver(self.medium.codes(front_end, front_end.received, n))
        if n < goal - front_end.received:
            front_end.note_overflow()
        front_end.received = goal
