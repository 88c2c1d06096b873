"""Frequency and level of a tone in noise, each with its uncertainty.

Maximum of a windowed spectrum, refined at single frequencies. The uncertainties are those of that estimator in white
noise, whose level is taken from the spectrum around the tone. Source: textbook (Rife and Boorstyn 1974 for the
estimator; Blackman-Harris window); the code is ours.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import get_window

from radio.quantity import Quantity

Samples = NDArray[np.complex64]

LEAST_SNR_DB = 14.0
"""A peak is a tone if it stands so far above the noise in one bin; noise alone does in one of a million spectra."""
_MAIN_LOBE_BINS = 6
_NOISE_BINS = 80
_REFINEMENTS = 3
_DB_PER_NEPER = 20.0 / math.log(10.0)
_FLOOR = 1e-30


@dataclass(frozen=True)
class Tone:
    """A tone that was found."""

    frequency_hz: Quantity
    """From the carrier, in the receiver's own count of time."""
    level_dbfs: Quantity
    """Full scale is the amplitude 1."""


def find_tone(samples: Samples, rate_hz: float, near_hz: float, reach_hz: float) -> Tone | None:
    """The strongest tone within ``reach_hz`` of ``near_hz``; None if none stands out of the noise.

    ``samples``: complex64 (n,), at least 1,024, full scale 1.
    """
    window = _window(len(samples))
    spectrum = fft.fft(samples * window)
    power = np.abs(spectrum) ** 2
    offsets_hz = np.abs(np.fft.fftfreq(len(samples), 1.0 / rate_hz) - near_hz)
    offsets_hz = np.minimum(offsets_hz, rate_hz - offsets_hz)
    best = int(np.argmax(np.where(offsets_hz <= max(reach_hz, rate_hz / len(samples)), power, 0.0)))
    noise = _noise_around(power, best)
    if power[best] < 10.0 ** (LEAST_SNR_DB / 10.0) * noise:
        return None
    cycles = _refine(samples * window, best / len(samples))
    return _tone(samples, cycles, rate_hz, noise)


def level_at(samples: Samples, rate_hz: float, frequency_hz: float) -> Quantity:
    """Level of whatever is at a known frequency, dB over full scale, noise in one bin taken off.

    What is not above the noise is said to be at its level, with an uncertainty to match (3 dB and more).
    """
    window = _window(len(samples))
    power = np.abs(fft.fft(samples * window)) ** 2
    cycles = frequency_hz / rate_hz
    noise = _noise_around(power, round(cycles * len(samples)) % len(samples))
    total = abs(_at_frequency(samples * window, cycles)) ** 2
    signal = max(total - noise, noise, _FLOOR)
    uncertainty_db = _DB_PER_NEPER * math.sqrt(0.5 * noise / signal) if noise > 0.0 else 0.0
    return Quantity(10.0 * math.log10(signal) - 20.0 * math.log10(float(np.sum(window))), uncertainty_db)


def _tone(samples: Samples, cycles: float, rate_hz: float, noise: float) -> Tone:
    """``noise``: mean power in one bin of the windowed spectrum."""
    window = _window(len(samples)).astype(np.float64)
    amplitude = abs(_at_frequency(samples * window, cycles)) / float(np.sum(window))
    variance = noise / float(np.sum(window**2))
    index = np.arange(len(samples)) - 0.5 * (len(samples) - 1)
    # Of the maximum of a windowed spectrum: first order in the noise.
    leverage = float(np.sum((window * index) ** 2)) / float(np.sum(window * index**2)) ** 2
    phase_step = math.sqrt(0.5 * variance / amplitude**2 * leverage)
    level_db = _DB_PER_NEPER * math.sqrt(0.5 * noise) / (amplitude * float(np.sum(window)))
    frequency = (cycles + 0.5) % 1.0 - 0.5
    return Tone(
        Quantity(frequency * rate_hz, phase_step / (2.0 * math.pi) * rate_hz),
        Quantity(20.0 * math.log10(amplitude), level_db),
    )


@functools.lru_cache(maxsize=8)
def _window(n: int) -> NDArray[np.float32]:
    window: NDArray[np.float32] = get_window("blackmanharris", n).astype(np.float32)
    window.flags.writeable = False
    return window


def _noise_around(power: NDArray[np.float32], best: int) -> float:
    """Mean power of the noise in one bin, by the median of the bins around the peak (exponentially distributed)."""
    reach = np.arange(_MAIN_LOBE_BINS, _MAIN_LOBE_BINS + _NOISE_BINS)
    around = np.concatenate([power[(best + reach) % len(power)], power[(best - reach) % len(power)]])
    return float(np.median(around)) / math.log(2.0)


def _at_frequency(windowed: Samples, cycles: float) -> complex:
    """Spectrum at one frequency, cycles per sample."""
    return complex(np.vdot(np.exp(2j * np.pi * cycles * np.arange(len(windowed))), windowed))


def _refine(windowed: Samples, cycles: float) -> float:
    """Climb to the top of the spectrum: parabolas through the logarithm at ever closer frequencies."""
    step = 0.5 / len(windowed)
    for _ in range(_REFINEMENTS):
        left, top, right = (math.log(abs(_at_frequency(windowed, cycles + k * step)) + _FLOOR) for k in (-1, 0, 1))
        curvature = left - 2.0 * top + right
        if curvature < 0.0:
            cycles += min(1.0, max(-1.0, 0.5 * (left - right) / curvature)) * step
        step *= 0.25
    return cycles
