"""One path between two radios: loss, delay and a fade that moves with time.

Gains are drawn on a grid of times and move linearly between its points, so a piece of the signal is the same however
the stream is cut. Everything follows from the seed, the two names and the time. Source of the fades:
``radio.channel.fading``.
"""

from __future__ import annotations

import functools
import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, Taps, draw_moving_taps, draw_taps
from radio.channel.resampling import TAPS, interpolator

Samples = NDArray[np.complex64]

_GRID_TURNS = 0.02
"""Part of a Doppler cycle between two points of the grid; straight lines between them are then 55 dB right."""
_KEPT_POINTS = 8


class Path:
    """The channel between two radios, in either direction."""

    def __init__(self, seed: int, ends: tuple[str, str], loss_db: float, delay_s: float, fading: FadingModel) -> None:
        self.loss_db = loss_db
        self.delay_s = delay_s
        self.realisation = 0
        """Counts fresh draws of the fade."""
        self._key = tuple(sorted(ends))
        self.phase_rad = float(random_stream(seed, "virtual phase", *self._key).uniform(0.0, 2.0 * np.pi))
        """Carrier phase of the path."""
        self._seed = seed
        self._fading = fading
        self._delays_s = tuple(fading.delays_s().tolist())
        self._doppler_hz = 0.0
        self._kept_response: tuple[tuple[float, bytes, int], Samples] | None = None
        self._points: dict[tuple[int, int], Taps] = {}

    def set_doppler(self, doppler_hz: float) -> None:
        """Maximum Doppler frequency; 0: the fade stays."""
        self._doppler_hz = doppler_hz
        self._points.clear()

    @property
    def amplitude(self) -> float:
        """Factor of the mean path."""
        return float(10.0 ** (-self.loss_db / 20.0))

    def margins(self, rate_hz: float) -> tuple[int, int]:
        """Samples before and after a piece that ``apply`` needs to get its ends right."""
        delays_s = self._delays_s
        return (0, 0) if delays_s == (0.0,) else (int(max(delays_s) * rate_hz) + TAPS // 2, TAPS // 2 - 1)

    def response(self, time_s: float, frequency_hz: float) -> complex:
        """Gain at a frequency from the carrier, path loss apart."""
        gains = self._gains_at(time_s)
        return complex(np.exp(-2j * np.pi * frequency_hz * np.array(self._delays_s)) @ gains)

    def apply(self, samples: Samples, rate_hz: float, begin_s: float) -> Samples:
        """``samples`` with the margins on either side through the fade, complex64 without them.

        ``begin_s``: time of the first sample without margin.
        """
        before, after = self.margins(rate_hz)
        n = len(samples) - before - after
        edges = self._grid_edges(begin_s, n, rate_hz)
        parts = [
            self._apply_line(samples[begin : end + before + after], rate_hz, begin_s + begin / rate_hz)
            for begin, end in pairwise(edges)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _apply_line(self, samples: Samples, rate_hz: float, begin_s: float) -> Samples:
        """A piece within which the gains move along one line."""
        n = len(samples) - sum(self.margins(rate_hz))
        point, position = self._place(begin_s + 0.5 / rate_hz)
        now = self._taps(point)
        if self._doppler_hz == 0.0:
            return self._through(samples, rate_hz, now.gains)[0]
        weight = position - point + (np.arange(n) - 0.5) * (self._grid_hz / rate_hz)
        after = self._taps(point + 1)
        if now.flat:
            flat: Samples = samples * (now.gains[0] + weight * (after.gains[0] - now.gains[0])).astype(np.complex64)
            return flat
        low, high = self._through(samples, rate_hz, now.gains, after.gains)
        moving: Samples = low + weight.astype(np.float32) * (high - low)
        return moving

    def _through(self, samples: Samples, rate_hz: float, *gains: NDArray[np.complex128]) -> list[Samples]:
        """``samples`` with the margins through the taps with these gains: complex64 without margins, for each."""
        if self._delays_s == (0.0,):
            return [samples * np.complex64(gain[0]) for gain in gains]
        filters = _echo_filters(self._delays_s, rate_hz)
        size = fft.next_fast_len(len(samples))
        spectrum = fft.fft(samples, size)
        # The rest of the circular convolution falls into the margins.
        valid = slice(filters.shape[1] - 1, len(samples))
        return [fft.ifft(spectrum * self._response(rate_hz, gain, size))[valid] for gain in gains]

    def _response(self, rate_hz: float, gain: NDArray[np.complex128], size: int) -> Samples:
        """Spectrum of the taps' impulse response; the last one is kept, for fades that stand still."""
        key = rate_hz, gain.tobytes(), size
        if self._kept_response is None or self._kept_response[0] != key:
            response = gain @ _echo_filters(self._delays_s, rate_hz)
            self._kept_response = key, fft.fft(response.astype(np.complex64), size)
        return self._kept_response[1]

    @property
    def _grid_hz(self) -> float:
        return self._doppler_hz / _GRID_TURNS

    def _place(self, time_s: float) -> tuple[int, float]:
        """Last point of the grid up to a time, and the time in points."""
        position = time_s * self._grid_hz
        return math.floor(position), position

    def _grid_edges(self, begin_s: float, n: int, rate_hz: float) -> list[int]:
        """Where a piece of ``n`` samples passes a point of the grid."""
        if self._doppler_hz == 0.0:
            return [0, n]
        first, _ = self._place(begin_s + 0.5 / rate_hz)
        last, _ = self._place(begin_s + (n - 0.5) / rate_hz)
        inner = [math.ceil((k / self._grid_hz - begin_s) * rate_hz - 0.5) for k in range(first + 1, last + 1)]
        return [0, *(edge for edge in inner if 0 < edge < n), n]

    def _gains_at(self, time_s: float) -> NDArray[np.complex128]:
        point, position = self._place(time_s)
        now = self._taps(point).gains
        return now + (position - point) * (self._taps(point + 1).gains - now) if self._doppler_hz else now

    def _taps(self, point: int) -> Taps:
        """The channel at a point of the grid."""
        key = self.realisation, point
        if key not in self._points:
            if len(self._points) >= _KEPT_POINTS:
                del self._points[next(iter(self._points))]
            rng = random_stream(self._seed, "virtual fade", *self._key, self.realisation)
            if self._doppler_hz == 0.0:
                self._points[key] = draw_taps(rng, self._fading)
            else:
                time_s = point / self._grid_hz
                self._points[key] = draw_moving_taps(rng, self._fading, self._doppler_hz, time_s)
        return self._points[key]


@functools.lru_cache(maxsize=64)
def _echo_filters(delays_s: tuple[float, ...], rate_hz: float) -> NDArray[np.float64]:
    """Impulse response of each delay, float64 (delays, length); delay 0 is at index TAPS / 2 - 1."""
    delays = np.array(delays_s) * rate_hz
    offsets = np.arange(TAPS) - (TAPS // 2 - 1)
    filters = np.zeros((len(delays), int(delays.max()) + TAPS))
    for row, delay in zip(filters, delays, strict=True):
        whole = int(delay)
        row[whole : whole + TAPS] = interpolator(delay - whole, offsets)
    return filters
