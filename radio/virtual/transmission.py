"""What a transmitter's converter is fed with, sample by sample: DMA buffers, a cyclic buffer, or the DDS.

Full scale is 1. A buffer leaves the antenna ``LATENCY_SAMPLES`` after it was pushed, right behind its predecessor if
that still plays; a DMA that has nothing left sends zeros and reports an underflow.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.virtual.settings import Tone

Samples = NDArray[np.complex64]

LATENCY_SAMPLES = 256
"""From a push to the first sample at the antenna."""
AHEAD_SAMPLES = 192
"""The DMA must hold this much: what receivers look ahead to interpolate, and more than that."""
_CODES = 2048.0
"""Full scale in the converter's 12 bits; they are the upper ones of the 16 that are written."""


@dataclass
class _Emission:
    """Samples from ``start`` up to ``stop`` (None: open); ``samples`` repeated if ``cyclic``; or tones of the DDS."""

    start: int
    stop: int | None
    samples: Samples | None = None
    cyclic: bool = False
    tones: tuple[Tone, ...] = ()
    rate_hz: float = 1.0

    def add_to(self, out: Samples, first: int) -> None:
        """Put what it has for samples ``first`` .. ``first + len(out)`` there."""
        begin = max(first, self.start)
        end = first + len(out) if self.stop is None else min(first + len(out), self.stop)
        if begin >= end:
            return
        part = out[begin - first : end - first]
        if self.samples is None:
            part[:] = _dds(self.tones, self.rate_hz, begin, end - begin)
        elif self.cyclic:
            part[:] = _repeated(self.samples, begin - self.start, end - begin)
        else:
            part[:] = self.samples[begin - self.start : end - self.start]


class TransmitQueue:
    """Everything one transmitter sends, by index of its sample clock. Not safe for threads by itself."""

    def __init__(self) -> None:
        self._emissions: deque[_Emission] = deque()
        self._tones: tuple[Tone, ...] = ()
        self._tone_rate_hz = 1.0
        self._dma = False
        self._end: int | None = None
        self._starved = False
        self.underflow = False
        """Whether the DMA ran empty since this was last cleared."""
        self.underflows = 0
        self.version = 0
        """Counts changes of what is sent."""

    def set_tones(self, tones: tuple[Tone, ...], rate_hz: float, now: int) -> None:
        """What the DDS makes from ``now`` on, while no buffer is open."""
        if (tones, rate_hz) != (self._tones, self._tone_rate_hz):
            self.version += 1
            self._tones, self._tone_rate_hz = tones, rate_hz
            if not self._dma:
                self._cut(now)
                self._start_tones(now)

    def open(self, now: int) -> None:
        """A buffer was opened: the converter takes its samples from the DMA."""
        self.version += 1
        self._cut(now)
        self._dma, self._end, self._starved = True, None, False

    def push(self, samples: Samples, now: int) -> int:
        """Queue samples (complex64, full scale 1); returns the index after their last."""
        self.version += 1
        start = self._end
        if start is None or start < now + AHEAD_SAMPLES:
            self.check(now)
            start = now + LATENCY_SAMPLES
        self._starved = False
        self._end = start + len(samples)
        self._emissions.append(_Emission(start, self._end, samples))
        return self._end

    def push_cyclic(self, samples: Samples, now: int) -> None:
        """Repeat samples until the buffer is closed."""
        self.version += 1
        self._emissions.append(_Emission(now + LATENCY_SAMPLES, None, samples, cyclic=True))

    def close(self, now: int) -> None:
        """The buffer was closed: what has not left yet is dropped, the DDS takes over."""
        if self._dma:
            self.version += 1
            self.check(now)
            self._dma, self._end = False, None
            self._cut(now)
            self._start_tones(now)

    def check(self, now: int) -> None:
        """Note an underflow if the DMA has run empty by ``now``."""
        if self._dma and self._end is not None and not self._starved and self._end < now + AHEAD_SAMPLES:
            self._starved = self.underflow = True
            self.underflows += 1

    def clear(self, now: int) -> None:
        """The sample rate changed: nothing that was queued is right any more."""
        self.version += 1
        self._emissions.clear()
        self._end = None
        if not self._dma:
            self._start_tones(now)

    @property
    def queued_end(self) -> int | None:
        """Index after the last queued sample, None if nothing was pushed."""
        return self._end

    def forget_before(self, index: int) -> None:
        """Drop what was over before ``index``."""
        while self._emissions and (stop := self._emissions[0].stop) is not None and stop < index:
            self._emissions.popleft()

    def window(self, first: int, n: int) -> Samples | None:
        """Samples ``first`` .. ``first + n``, complex64 (n,); None if all are zero for want of anything to send."""
        found = [e for e in self._emissions if e.start < first + n and (e.stop is None or e.stop > first)]
        if not found:
            return None
        out = np.zeros(n, np.complex64)
        for emission in found:
            emission.add_to(out, first)
        return out

    def _start_tones(self, now: int) -> None:
        if self._tones:
            self._emissions.append(_Emission(now, None, tones=self._tones, rate_hz=self._tone_rate_hz))

    def _cut(self, now: int) -> None:
        """Nothing of what plays goes on after ``now``."""
        self._emissions = deque(e for e in self._emissions if e.start < now)
        for emission in self._emissions:
            emission.stop = now if emission.stop is None else min(emission.stop, now)


def samples_of_codes(codes: NDArray[np.int16]) -> Samples:
    """Converter samples of written 16-bit codes, int16 (n, 2): the upper 12 bits, rounded down as the chip does."""
    parts = (codes >> 4).astype(np.float32)
    parts *= np.float32(1.0 / _CODES)
    samples: Samples = np.ascontiguousarray(parts).view(np.complex64)[:, 0]
    return samples


def _repeated(samples: Samples, first: int, n: int) -> Samples:
    """``n`` samples of the endless repetition of ``samples`` from index ``first``."""
    offset = first % len(samples)
    if offset + n <= len(samples):
        return samples[offset : offset + n]
    if n <= len(samples):
        return np.concatenate([samples[offset:], samples[: offset + n - len(samples)]])
    return np.take(samples, np.arange(offset, offset + n), mode="wrap")


def _dds(tones: tuple[Tone, ...], rate_hz: float, first: int, n: int) -> Samples:
    """What the generators add up to; parts beyond full scale are clipped."""
    index = np.arange(first, first + n, dtype=np.float64)
    parts = np.zeros((2, n))
    for tone in tones:
        turns = (tone.frequency_hz / rate_hz * index) % 1.0 + tone.phase_deg / 360.0
        parts[int(tone.quadrature)] += tone.scale * np.sin(2.0 * np.pi * turns)
    highest = 1.0 - 1.0 / _CODES
    clipped: Samples = np.clip(parts, -1.0, highest).astype(np.float32).T.copy().view(np.complex64)[:, 0]
    return clipped
