"""The capture of a radio on a desk: streams while windows are armed; the receiver gets the stretch with the bursts."""

from __future__ import annotations

import math
import select
import time

import numpy as np

from protocol.configuration import Experiment
from protocol.errors import AirtuneError, RadioError
from radio.desk import open_receive_end
from radio.desk.capture import Capture, Place, Samples
from radio.desk.interface import ReceiveEnd
from radio.desk.latency import DetectionWindow
from radio.desk.levels import measured_offsets_db
from radio.limits import experiment_numerology
from radio.modem.layout import burst_air_samples
from radio.processes.lifetime import run_child, start_failed
from radio.processes.link import Link
from radio.processes.messages import (
    ArmCapture,
    EveryoneSent,
    LeaveOut,
    SourceArmed,
    SourceDone,
    SourceFailed,
    Start,
    Started,
    WindowSamples,
)
from radio.quantity import Quantity

IDLE_S = 1.0
"""A stream goes on for so long after a window: the next one may follow at once."""
CLIPPED = 2047.0 / 2048.0
"""Parts of samples from here on are at the end of the converter's range."""
LONGEST_BACKLOG_S = 0.25
"""More than this does not wait in any radio's buffers."""
_FRESH_S = 0.002
"""A buffer that had to be waited for this long was not lying there from before."""
_FLUSHED_AT_MOST = 32


def main() -> None:
    """Entry of ``python -m radio.processes.capture``."""
    run_child(_work)


def _work(parent: Link, peers: list[Link], start: Start) -> None:
    try:
        end, offsets_db = _opened(start.experiment)
    except AirtuneError as error:
        parent.send(start_failed(error))
        return
    try:
        parent.send(Started(gain_offsets_db=offsets_db, identity=end.identity))
        _CaptureLoop(start, end, parent, peers[0]).run()
    finally:
        end.close()


def _opened(experiment: Experiment) -> tuple[ReceiveEnd, dict[str, Quantity]]:
    """The radio, and by client what makes channel gains of its readings. Raises what the two raise."""
    end = open_receive_end(experiment)
    try:
        return end, measured_offsets_db(experiment, end.calibration)
    except BaseException:
        end.close()
        raise


class _CaptureLoop:
    """The process's loop: orders of the base station between two pieces of the stream."""

    def __init__(self, start: Start, end: ReceiveEnd, parent: Link, receiver: Link) -> None:
        self._experiment = start.experiment
        self._numerology = experiment_numerology(start.experiment)
        self._rate_hz = self._numerology.sample_rate_hz
        self._end = end
        self._parent = parent
        self._receiver = receiver
        self._detection = DetectionWindow(start.experiment.radio.detection_window_s)
        self._warnings: list[str] = []
        self._streams = False
        self._busy_at = 0.0
        self._capture: Capture | None = None
        self._left_out: set[str] = set()
        self._armed_at = 0.0
        self._lead = 0.0
        """Samples captured over those of the clock, when the stream was read up to its end."""
        self._sent_at: int | None = None
        """Samples captured when everyone had sent."""

    def run(self) -> None:
        """Serve until the parent goes (LinkClosedError)."""
        while True:
            if select.select([self._parent.fileno()], [], [], 0.0 if self._streams else None)[0]:
                self._obey()
            if self._streams:
                self._step()

    def _obey(self) -> None:
        order, _ = self._parent.receive()
        if isinstance(order, ArmCapture):
            self._arm(order)
        elif isinstance(order, LeaveOut):
            self._left_out.add(order.client)
        elif isinstance(order, EveryoneSent) and self._capture is not None:
            self._sent_at = self._position(self._capture)

    def _position(self, capture: Capture) -> int:
        """Where the stream is now in the capture, what waits unread in its buffers included."""
        reached = self._rate_hz * time.perf_counter() + self._lead
        return round(min(max(reached, capture.samples), capture.samples + LONGEST_BACKLOG_S * self._rate_hz))

    def _arm(self, order: ArmCapture) -> None:
        try:
            self._begin_streaming()
        except RadioError:
            if not self._recovered():
                return
        self._capture = Capture(self._numerology, order.window, order.bursts)
        self._left_out, self._sent_at, self._lead = set(), None, -math.inf
        self._armed_at = time.perf_counter()
        self._parent.send(SourceArmed())

    def _begin_streaming(self) -> None:
        """Stream, and have nothing left from before: a buffer that had to be waited for says so."""
        if not self._streams:
            self._end.start()
            self._streams = True
            return
        for _ in range(_FLUSHED_AT_MOST):
            began = time.perf_counter()
            self._end.read()
            if time.perf_counter() - began > _FRESH_S:
                break
        self._end.take_overflow()

    def _step(self) -> None:
        """One piece of the stream."""
        try:
            samples = self._end.read()
        except RadioError as error:
            self._streams = False
            if self._capture is not None and self._recovered():
                self._warnings.append(f"the radio was lost and found again: {error}")
            return  # between two windows nothing is missed: the next one looks for it
        if self._capture is None:
            if time.perf_counter() - self._busy_at > IDLE_S:
                self._end.stop()
                self._streams = False
            return
        forgotten = self._capture.add(samples)
        self._lead = max(self._lead - forgotten, self._capture.samples - self._rate_hz * time.perf_counter())
        if self._sent_at is not None:
            self._sent_at = max(self._sent_at - forgotten, 0)
        self._close_if_complete(self._capture)

    def _recovered(self) -> bool:
        """Look for the radio by the reconnect ladder; tell the parent if it is gone for good."""
        try:
            self._end.recover()
            self._end.start()
        except RadioError as error:
            self._capture, self._streams = None, False
            self._parent.send(SourceFailed(str(error)))
            return False
        self._streams = True
        return True

    def _close_if_complete(self, capture: Capture) -> None:
        expected = [burst for burst in capture.bursts if burst.client not in self._left_out]
        if not expected:
            if capture.bursts or capture.samples >= capture.window.n_samples:
                self._close(capture, [])
            return
        if self._sent_at is None:
            return
        places = [capture.place(burst) for burst in expected]
        longest_s = max(burst_air_samples(b, self._numerology) for b in expected) / self._rate_hz
        waited_s = (capture.samples - self._sent_at) / self._rate_hz
        if all(place.clear for place in places):
            for place in places:
                self._detection.heard((place.last - self._sent_at) / self._rate_hz)
            self._close(capture, places)
        elif waited_s > self._detection.length_s + longest_s:
            self._detection.missed()
            self._close(capture, places)

    def _close(self, capture: Capture, places: list[Place]) -> None:
        wait_s = time.perf_counter() - self._armed_at
        began = time.perf_counter()
        samples = capture.cut(places)
        if not capture.bursts:
            samples = samples[: capture.window.n_samples]
        self._note_lost_samples()
        self._receiver.send(WindowSamples(capture.window), samples)
        lost = sorted(burst.client for burst in capture.bursts if burst.client in self._left_out)
        warnings, self._warnings = [*self._end.notes, *self._warnings], []
        source_s = time.perf_counter() - began
        self._parent.send(SourceDone(_clipped(samples), lost, wait_s, source_s, warnings=warnings))
        self._capture, self._busy_at = None, time.perf_counter()

    def _note_lost_samples(self) -> None:
        try:
            lost = self._end.take_overflow()
        except RadioError as error:
            self._streams = False
            self._warnings.append(str(error))
            return
        if lost:
            self._warnings.append("samples were lost on their way from the radio: this machine or the link is too slow")


def _clipped(samples: Samples) -> int:
    parts = np.abs(samples.view(np.float32)) >= CLIPPED
    return int(np.count_nonzero(parts.reshape(-1, 2).any(axis=1)))


if __name__ == "__main__":
    main()
