"""A narrow-band jammer: noise that fills some resource blocks. Source: ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.numerology import Numerology


def jammer(
    rng: np.random.Generator, n_samples: int, numerology: Numerology, rb_start: int, rb_count: int, rb_power: float
) -> NDArray[np.complex64]:
    """Gaussian noise of mean power ``rb_power`` in each of ``rb_count`` RBs, none outside, complex64 (n_samples,)."""
    low_hz, high_hz = numerology.edges_hz(rb_start, rb_count)
    size = fft.next_fast_len(n_samples)
    bins = np.arange(np.ceil(low_hz * size / numerology.sample_rate_hz), high_hz * size / numerology.sample_rate_hz)
    parts = rng.standard_normal(2 * len(bins), dtype=np.float32)
    spectrum = np.zeros(size, np.complex64)
    spectrum[bins.astype(np.int64)] = parts.view(np.complex64)
    # E|bin|^2 is 2, and the inverse transform divides by the size.
    spectrum *= np.float32(size * np.sqrt(rb_power * rb_count / (2.0 * len(bins))))
    noise: NDArray[np.complex64] = fft.ifft(spectrum, overwrite_x=True)[:n_samples]
    return noise
