"""Known symbols of a burst: training and pilots, seeded by the burst id.

Each training symbol is the one of 16 random QPSK candidates with the lowest peak power, so training
never clips where data does not, and two bursts share nothing a correlator could mistake. Source: ours.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protocol.random_streams import random_stream
from radio.modem import kernels
from radio.modem.layout import BurstLayout

CANDIDATES = 16
PEAK_OVERSAMPLING = 2
QPSK: NDArray[np.complex64] = np.exp(1j * np.pi * (0.25 + 0.5 * np.arange(4))).astype(np.complex64)


def training_grid(burst_id: int, layout: BurstLayout) -> NDArray[np.complex64]:
    """Unit-magnitude training symbols, shape (training_symbols, loaded subcarriers)."""
    shape = (layout.training_symbols, CANDIDATES, len(layout.subcarriers))
    quadrants = _quadrants(random_stream(burst_id, "modem training"), shape)
    size = PEAK_OVERSAMPLING * layout.fft_size
    bins, turn = layout.subcarriers % size, _turn(size)
    return _points(np.stack([candidates[kernels.lowest_peak(candidates, bins, turn)] for candidates in quadrants]))


def pilot_values(burst_id: int, count: int) -> NDArray[np.complex64]:
    """The first ``count`` pilots of a burst in order of time, then frequency: unit magnitude, shape (count,)."""
    return _points(_quadrants(random_stream(burst_id, "modem pilots"), (count,)))


def _quadrants(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    quadrants: NDArray[np.uint8] = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape) & np.uint8(3)
    return quadrants


def _points(quadrants: NDArray[np.uint8]) -> NDArray[np.complex64]:
    points: NDArray[np.complex64] = QPSK[quadrants]
    return points


@lru_cache(maxsize=16)
def _turn(size: int) -> NDArray[np.complex64]:
    """One turn in ``size`` steps."""
    turn: NDArray[np.complex64] = np.exp(-2j * np.pi / size * np.arange(size)).astype(np.complex64)
    return turn
