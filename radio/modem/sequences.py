"""Known symbols of a burst: training and pilots, seeded by the burst id.

Each training symbol is the one of 16 random QPSK candidates with the lowest peak power, so training
never clips where data does not, and two bursts share nothing a correlator could mistake. Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from protocol.random_streams import random_stream
from radio.modem.layout import BurstLayout

CANDIDATES = 16
PEAK_OVERSAMPLING = 2
QPSK: NDArray[np.complex64] = np.exp(1j * np.pi * (0.25 + 0.5 * np.arange(4))).astype(np.complex64)


def training_grid(burst_id: int, layout: BurstLayout) -> NDArray[np.complex64]:
    """Unit-magnitude training symbols, shape (training_symbols, loaded subcarriers)."""
    shape = (layout.training_symbols, CANDIDATES, len(layout.subcarriers))
    quadrants = _quadrants(random_stream(burst_id, "modem training"), shape)
    grid = np.empty((shape[0], shape[2]), np.complex64)
    size = PEAK_OVERSAMPLING * layout.fft_size
    places = list(_runs(layout.subcarriers % size))
    # Symbol by symbol: all candidates at once would not stay in the processor's cache.
    spectrum = np.zeros((CANDIDATES, size), np.complex64)
    for symbol, quadrant in zip(grid, quadrants, strict=True):
        candidates = QPSK[quadrant]
        for place, bins in places:
            spectrum[:, bins] = candidates[:, place]
        symbol[:] = candidates[np.abs(fft.ifft(spectrum, axis=1)).max(axis=1).argmin()]
    return grid


def pilot_values(burst_id: int, count: int) -> NDArray[np.complex64]:
    """The first ``count`` pilots of a burst in order of time, then frequency: unit magnitude, shape (count,)."""
    result: NDArray[np.complex64] = QPSK[_quadrants(random_stream(burst_id, "modem pilots"), (count,))]
    return result


def _quadrants(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    quadrants: NDArray[np.uint8] = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape) & np.uint8(3)
    return quadrants


def _runs(bins: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Stretches of neighbouring bins: where they are among the bins, and which ones: copied faster than one by one."""
    begins = [0, *(np.flatnonzero(np.diff(bins) != 1) + 1).tolist(), len(bins)]
    for begin, end in pairwise(begins):
        yield slice(begin, end), slice(int(bins[begin]), int(bins[end - 1]) + 1)
