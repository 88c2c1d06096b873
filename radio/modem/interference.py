"""Interference beside a grant: what it leaks into the burst's subcarriers is predicted and subtracted.

A jammer, another client's carrier leak or a neighbour without a guard is not in step with the symbols, so each FFT
window smears it over all subcarriers, most into the nearest. But within a window it has few degrees of freedom: what
falls on the bins h that the burst does not load tells most of what falls on the loaded ones d. With C the covariance
over bins of Gaussian interference of known spectrum, the best linear prediction is C_dh (C_hh + noise)^-1. The
spectrum is that of the unloaded bins themselves. Source: linear prediction is textbook; its use here is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from radio.modem.layout import BurstLayout
from radio.modem.shaping import receive_gain

HEAD_SAMPLES = 900
"""Full-rate samples of a window before which no burst has begun, filter tails included."""
LEAST_OVER_NOISE = 10.0
"""Interference below this, per subcarrier over the noise there, leaks nothing worth the work."""
LEAST_OVER_BURST = 1e-4
"""Below this share of the burst's power, what is beside it may be its own: symbols are never quite orthogonal."""
LEAST_GAIN = 0.1
"""Of the receive filter, where noise is concerned: beyond, what is folded down counts."""
LEAST_RISE = 1.5
"""Of an RB's noise; less may be chance."""
HANN_LEAK = 0.5
"""A bin with less than this share of a neighbour's power may hold nothing but its leak."""
POINTS = 4
"""Frequencies per subcarrier at which a spectrum is taken."""

Spectrum = NDArray[np.complex64]
"""FFTs of the windows of a burst's symbols, shape (symbols, fft_size)."""


class Background(NamedTuple):
    """What a branch holds before the burst. Powers are per bin of a symbol's FFT."""

    noise: float
    """Within the grant, the receive filter's gain taken out."""
    power: NDArray[np.float64]
    """Of each bin, in the order of the FFT."""

    @property
    def jammed(self) -> bool:
        """Whether anything but noise was there."""
        return bool(self.interference.any())

    @property
    def interference(self) -> NDArray[np.bool_]:
        """Bins that hold some, and not only what leaks from the next."""
        own = self.power > HANN_LEAK * np.maximum(np.roll(self.power, 1), np.roll(self.power, -1))
        return own & (self.power > LEAST_OVER_NOISE * self.noise)

    def rb_noise(self, layout: BurstLayout) -> NDArray[np.float64]:
        """Noise and interference of each RB, power per element of a grid.

        Beside a jammer it is the mean of the logarithm that counts: a receiver weighs subcarriers by their noise.
        """
        power = self.power[layout.subcarriers] / (self.noise * receive_gain(layout, 0.0) ** 2)
        rb, size = layout.rb_of_subcarrier, np.bincount(layout.rb_of_subcarrier)
        hit = np.bincount(rb, self.interference[layout.subcarriers]) > 0
        level = np.log(power) - np.mean(np.log(power[power < LEAST_OVER_NOISE]))
        rise = np.where(hit, np.bincount(rb, power) / size, np.exp(np.bincount(rb, level) / size))
        return np.where(rise > LEAST_RISE, rise, 1.0) * (self.noise / layout.fft_size**2)


def background(samples: NDArray[np.complex64], start: float, layout: BurstLayout) -> Background | None:
    """Spectrum of the stream's head (Welch, Hann, half overlap); None if it is shorter than two windows, or zero."""
    size = layout.fft_size
    head = samples[: max(int(min(HEAD_SAMPLES / layout.decimation, start - layout.cp)), 0)]
    if 2 * len(head) < 3 * size:
        return None
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    parts = np.lib.stride_tricks.sliding_window_view(head, size)[:: size // 2] * window
    power = np.mean(np.abs(np.fft.fft(parts, axis=1)) ** 2, axis=0) * (size / float(np.sum(window**2)))
    inside = power[layout.subcarriers] / receive_gain(layout, 0.0) ** 2
    noise = float(np.mean(inside[inside <= LEAST_OVER_NOISE * np.median(inside)]))
    return Background(noise, power) if noise > 0.0 else None


def smeared_noise(before: Background | None, layout: BurstLayout, cfo_hz: float) -> NDArray[np.float64]:
    """Noise on each loaded subcarrier over noise alone if the background's interference just stays, (loaded,)."""
    if before is None or not before.jammed:
        return np.ones(len(layout.subcarriers))
    size = layout.fft_size
    bins = np.flatnonzero(before.interference)
    place = (bins + size / 2) % size - size / 2 - cfo_hz * size / layout.sample_rate_hz
    hit = np.abs(_smear(layout.subcarriers, _points(place), size)) ** 2
    gain = receive_gain(layout, cfo_hz) ** 2
    rise: NDArray[np.float64] = 1.0 + hit @ np.repeat(before.power[bins] / POINTS, POINTS) / (before.noise * gain)
    return rise


class Suppression:
    """Cleans the symbols of one burst; ``noise_rise`` is what that leaves."""

    def __init__(self, before: Background | None, layout: BurstLayout) -> None:
        self._before, self._layout = before, layout
        half = layout.fft_size // 2
        self._heard = np.setdiff1d(np.arange(-half, half), layout.subcarriers)
        self.noise_rise = np.ones(len(layout.subcarriers))
        """Noise on each loaded subcarrier, what cannot be predicted included, over noise alone."""

    def at(self, cfo_hz: float) -> Callable[[Spectrum], None]:
        """What cleans, in place, FFT windows from which a carrier offset was taken."""
        return lambda spectrum: self._clean(spectrum, cfo_hz)

    def _clean(self, spectrum: Spectrum, cfo_hz: float) -> None:
        if self._before is None or len(self._heard) == 0:
            return
        noise = self._before.noise * np.maximum(receive_gain(self._layout, cfo_hz, self._heard), LEAST_GAIN) ** 2
        excess = np.mean(np.abs(spectrum[:, self._heard]) ** 2, axis=0, dtype=np.float64) - noise
        if np.any(excess > LEAST_OVER_NOISE * noise) and np.max(excess) > LEAST_OVER_BURST * self._power(spectrum):
            prediction, left = self._prediction(np.maximum(excess, 0.0), noise)
            spectrum[:, self._layout.subcarriers] -= spectrum[:, self._heard] @ prediction
            self.noise_rise = 1.0 + left / (self._before.noise * receive_gain(self._layout, cfo_hz) ** 2)

    def _power(self, spectrum: Spectrum) -> float:
        """Of a loaded bin."""
        return float(np.mean(np.abs(spectrum[:, self._layout.subcarriers]) ** 2))

    def _prediction(
        self, excess: NDArray[np.float64], noise: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
        """Leak per amplitude heard, shape (heard, loaded), and the power of what it misses, (loaded,)."""
        points = _points(self._heard)
        told, hit = (_smear(b, points, self._layout.fft_size) for b in (self._heard, self._layout.subcarriers))
        # Each bin hears the others' interference too.
        shared = (np.abs(told) ** 2).reshape(len(self._heard), -1, POINTS).mean(axis=2)
        power = np.repeat(optimize.nnls(shared, excess)[0] / POINTS, POINTS)
        among = (told * power) @ told.conj().T + np.diag(noise)
        across = (told * power) @ hit.conj().T
        prediction = np.linalg.solve(among, across).conj()
        left = power @ np.abs(hit.T) ** 2 - np.sum(across * prediction, axis=0).real
        return prediction.astype(np.complex64), np.maximum(left, 0.0)


def _points(place: NDArray[Any]) -> NDArray[np.float64]:
    """``POINTS`` frequencies spread over each of the subcarriers ``place``, in order."""
    points: NDArray[np.float64] = (place[:, None] + (np.arange(POINTS) + 0.5) / POINTS - 0.5).ravel()
    return points


def _smear(bins: NDArray[np.int64], points: NDArray[np.float64], fft_size: int) -> NDArray[np.complex128]:
    """Amplitude on FFT ``bins`` of a tone of power 1 per bin at each of ``points``, shape (bins, points)."""
    apart = points - bins[:, None]
    apart[np.abs(apart) < 1e-9] = 1e-9
    size = np.sin(np.pi * apart) / (fft_size * np.sin(np.pi / fft_size * apart))
    smear: NDArray[np.complex128] = size * np.exp(1j * np.pi * (fft_size - 1) / fft_size * apart)
    return smear
