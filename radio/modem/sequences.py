"""Known symbols of a burst: training and pilots, seeded by the burst id.

Each training symbol is the one of 16 random QPSK candidates with the lowest peak power, so training
never clips where data does not, and two bursts share nothing a correlator could mistake. Source: ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from protocol.random_streams import random_stream
from radio.modem.layout import BurstLayout

CANDIDATES = 16
PEAK_OVERSAMPLING = 2


def training_grid(burst_id: int, layout: BurstLayout) -> NDArray[np.complex64]:
    """Unit-magnitude training symbols, shape (training_symbols, loaded subcarriers)."""
    shape = (layout.training_symbols, CANDIDATES, len(layout.subcarriers))
    candidates = _random_qpsk(random_stream(burst_id, "modem training"), shape)
    spectrum = np.zeros((*shape[:2], PEAK_OVERSAMPLING * layout.fft_size), np.complex64)
    spectrum[:, :, layout.subcarriers] = candidates
    peaks = np.max(np.abs(fft.ifft(spectrum, axis=2)), axis=2)
    result: NDArray[np.complex64] = candidates[np.arange(layout.training_symbols), np.argmin(peaks, axis=1)]
    return result


def pilot_values(burst_id: int, count: int) -> NDArray[np.complex64]:
    """The first ``count`` pilots of a burst in order of time, then frequency: unit magnitude, shape (count,)."""
    return _random_qpsk(random_stream(burst_id, "modem pilots"), (count,))


def _random_qpsk(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    quadrant = np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8) & 3
    points = np.exp(1j * np.pi * (0.25 + 0.5 * np.arange(4))).astype(np.complex64)
    result: NDArray[np.complex64] = points[quadrant].reshape(shape)
    return result
