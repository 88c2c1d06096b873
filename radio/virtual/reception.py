"""A receiver's end: gain and its automatic control, the 12-bit converter, and the buffers a client reads."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from radio.virtual.protocol import IiodError
from radio.virtual.settings import RadioSettings

Samples = NDArray[np.complex64]
Codes = NDArray[np.int16]

FULL_SCALE_CODES = 2048.0
AGC_TARGET_DBFS = -10.0
"""Level that the automatic gain control steers to; of the AD9361's defaults (inner thresholds -10 and -12 dBFS)."""
AGC_INTERVAL_S = 1e-3
"""Time between two decisions of the gain control."""
AGC_STEP_DB = {"slow_attack": 2.0, "hybrid": 2.0, "fast_attack": 80.0}
"""How far one decision may move the gain."""
_RSSI_OFFSET_DB = 7.0
_RSSI_RANGE_DB = (0.0, 127.75)
_TINY_POWER = 1e-30


class GainControl:
    """The gain in force, and how it follows the received power."""

    def __init__(self) -> None:
        self.gain_db = 71.0

    def follow(self, settings: RadioSettings, full_scale_dbm: float, power_mw: float) -> float:
        """Gain for the stretch after one of mean power ``power_mw`` at the antenna, dB."""
        if settings.gain_mode == "manual":
            self.gain_db = float(settings.manual_gain_db)
            return self.gain_db
        wanted = round(AGC_TARGET_DBFS - (10.0 * np.log10(power_mw + _TINY_POWER) - full_scale_dbm))
        step_db = AGC_STEP_DB[settings.gain_mode]
        moved = min(max(wanted, self.gain_db - step_db), self.gain_db + step_db)
        self.gain_db = float(min(max(moved, settings.lowest_gain_db), settings.highest_gain_db))
        return self.gain_db

    def settle(self, settings: RadioSettings, full_scale_dbm: float, power_mw: float) -> float:
        """The gain where the control comes to rest at ``power_mw``, dB."""
        for _ in range(100):
            before = self.gain_db
            if self.follow(settings, full_scale_dbm, power_mw) == before:
                break
        return self.gain_db

    def amplify(
        self, samples: Samples, settings: RadioSettings, full_scale_dbm: float, error_db: Callable[[float], float]
    ) -> Samples:
        """Samples at the antenna (square root of mW) to converter full scale 1, complex64 (n,), new array.

        ``error_db``: how far the true gain is from what it is set to.
        """
        if settings.gain_mode == "manual":
            gain_db = self.follow(settings, full_scale_dbm, 0.0)
            return samples * _factor(gain_db + error_db(gain_db), full_scale_dbm)
        amplified = np.empty_like(samples)
        interval = max(1, int(AGC_INTERVAL_S * settings.receive_rate_hz))
        for begin in range(0, len(samples), interval):
            part = samples[begin : begin + interval]
            gain_db = min(max(self.gain_db, settings.lowest_gain_db), settings.highest_gain_db)
            amplified[begin : begin + interval] = part * _factor(gain_db + error_db(gain_db), full_scale_dbm)
            self.follow(settings, full_scale_dbm, mean_power(part))
        return amplified


def _factor(gain_db: float, full_scale_dbm: float) -> np.float32:
    return np.float32(10.0 ** ((gain_db - full_scale_dbm) / 20.0))


def mean_power(samples: Samples) -> float:
    """Mean of |x|^2."""
    return float(np.vdot(samples, samples).real) / max(1, len(samples))


def rssi_db(power_mw: float, full_scale_dbm: float) -> float:
    """What the chip's power meter reads: dB below a reference, in quarters, whatever the gain.

    The offset is the middle of the windows that ADI's own tests allow; absolute accuracy is not claimed.
    """
    dbfs = 10.0 * np.log10(power_mw + _TINY_POWER) - full_scale_dbm
    low, high = _RSSI_RANGE_DB
    return float(min(max(round(-4.0 * dbfs) / 4.0 + _RSSI_OFFSET_DB, low), high))


def converter_codes(amplified: Samples) -> tuple[Codes, int]:
    """12-bit codes of samples at full scale 1, int16 (n, 2), and how many samples were clipped."""
    parts = amplified.view(np.float32) * np.float32(FULL_SCALE_CODES)
    np.rint(parts, out=parts)
    highest = FULL_SCALE_CODES - 1.0
    clipped = 0
    if parts.size and (parts.max() > highest or parts.min() < -FULL_SCALE_CODES):
        beyond = (parts > highest) | (parts < -FULL_SCALE_CODES)
        clipped = int(np.count_nonzero(beyond.reshape(-1, 2).any(axis=1)))
        np.clip(parts, -FULL_SCALE_CODES, highest, out=parts)
    return parts.astype("<i2").reshape(-1, 2), clipped


class ReceiveStream:
    """The kernel buffers of one opened receive buffer: filled by the medium, emptied by READBUF.

    ``capacity``: how many buffers are filled before samples are lost; None: as many as it takes.
    """

    def __init__(self, samples: int, channels: tuple[int, ...], capacity: int | None) -> None:
        self.samples = samples
        self.lost_samples = 0
        self._channels = channels
        self._capacity = capacity
        self._condition = threading.Condition()
        self._full: deque[Codes] = deque()
        self._filling: list[Codes] = []
        self._filled = 0
        self._read_offset = 0
        self._closed = False

    def push(self, codes: Codes) -> bool:
        """Take received samples, int16 (n, 2); whether some were lost because all buffers were full."""
        lost = False
        with self._condition:
            while len(codes):
                if self._capacity is not None and len(self._full) >= self._capacity:
                    self.lost_samples += len(codes)
                    lost = True
                    break
                part = codes[: self.samples - self._filled]
                self._filling.append(part)
                self._filled += len(part)
                codes = codes[len(part) :]
                if self._filled == self.samples:
                    self._full.append(self._selected(self._filling))
                    self._filling, self._filled = [], 0
            self._condition.notify_all()
        return lost

    @property
    def room_samples(self) -> int | None:
        """Samples that can come before one is lost; None: any number."""
        with self._condition:
            if self._capacity is None:
                return None
            return (self._capacity - len(self._full)) * self.samples - self._filled

    @property
    def unread_samples(self) -> int:
        """Samples that wait to be read, whole buffers and the one being filled."""
        with self._condition:
            return len(self._full) * self.samples - self._read_offset + self._filled

    def lacking_samples(self, wanted: int) -> int:
        """Samples that must still come before ``wanted`` more can be read: buffers are handed over whole."""
        with self._condition:
            buffers = -(-(self._read_offset + wanted) // self.samples)
            return max(0, (buffers - len(self._full)) * self.samples - self._filled)

    def frames(self, size: int) -> int:
        """Samples of ``size`` bytes. Raises IiodError EINVAL if they are not whole."""
        frame = 2 * len(self._channels)
        if size % frame:
            raise IiodError(errno.EINVAL, "not a whole number of samples")
        return size // frame

    def read(self, size: int, cancelled: Callable[[], bool]) -> list[memoryview]:
        """The next ``size`` bytes, in pieces; waits for them. Raises IiodError: EBADF if closed, EINVAL by its size."""
        wanted = self.frames(size)
        pieces = []
        while wanted:
            with self._condition:
                self._condition.wait_for(lambda: bool(self._full) or self._closed or cancelled())
                if self._closed or cancelled():
                    raise IiodError(errno.EBADF, "closed")
                head = self._full[0]
                piece = head[self._read_offset : self._read_offset + wanted]
                self._read_offset += len(piece)
                if self._read_offset == len(head):
                    self._full.popleft()
                    self._read_offset = 0
            wanted -= len(piece)
            pieces.append(piece.data.cast("B"))
        return pieces

    def wake(self) -> None:
        """Have a waiting ``read`` look whether it was cancelled."""
        with self._condition:
            self._condition.notify_all()

    def close(self) -> None:
        """No more samples; a waiting ``read`` ends."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _selected(self, parts: list[Codes]) -> Codes:
        """One buffer of the channels that were asked for."""
        whole = np.concatenate(parts)
        return whole if self._channels == (0, 1) else np.ascontiguousarray(whole[:, list(self._channels)])
