"""Power over frequency of a full-rate stream: noise and interference per RB, and the spectrum for pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.numerology import Numerology

SPECTRUM_BINS = 256
FINE_BINS = 32
"""Per subcarrier where RBs are measured: less than 1/150 of a jammed RB's power then leaks into the next."""
FLOOR = 1e-20


def spectrum(samples: NDArray[np.complex64], bins: int = SPECTRUM_BINS) -> NDArray[np.float64]:
    """Mean power per bin relative to full scale, linear, lowest frequency first (Welch, Hann, half overlap).

    The bins add up to the stream's mean power. Streams shorter than ``bins`` are padded with zeros.
    """
    padded = np.pad(samples, (0, max(bins - len(samples), 0)))
    window = np.hanning(bins + 1)[:-1].astype(np.float32)
    segments = np.lib.stride_tricks.sliding_window_view(padded, bins)[:: bins // 2]
    power = np.zeros(bins)
    for part in np.array_split(segments, max(len(segments) // 512, 1)):
        power += np.sum(np.abs(fft.fft(part * window, axis=1)) ** 2, axis=0)
    result: NDArray[np.float64] = fft.fftshift(power) / (len(segments) * bins * float(np.sum(window**2)))
    return result


def measure_silence(samples: NDArray[np.complex64], numerology: Numerology) -> tuple[list[float], list[float]]:
    """Noise and interference of a silent window: dB per RB (all RBs) and dB per bin (256 bins), full scale 0 dB."""
    fine = spectrum(samples, FINE_BINS * numerology.fft_size)
    width = FINE_BINS * numerology.rb_subcarriers
    # An RB ends half a subcarrier beyond its outermost ones.
    first = (len(fine) - numerology.rb_total * width - FINE_BINS) // 2
    per_rb = fine[first : first + numerology.rb_total * width].reshape(-1, width).sum(axis=1)
    return _db(per_rb), spectrum_db(samples)


def spectrum_db(samples: NDArray[np.complex64]) -> list[float]:
    """``spectrum`` with 256 bins, in dB."""
    return _db(spectrum(samples))


def _db(power: NDArray[np.float64]) -> list[float]:
    result: list[float] = (10.0 * np.log10(np.maximum(power, FLOOR))).tolist()
    return result
