"""Band-limited resampling by a few parts per million: a transmitter whose clock is not the receiver's.

The position read drifts slowly, so the signal is cut into stretches in which it moves by one step of a
polyphase filter bank, and each stretch is interpolated between its two neighbouring filters.
Source: polyphase interpolation as in any textbook; the cutting into stretches is ours.
"""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TAPS = 40
"""Length of the interpolation filter; with ``KAISER_BETA`` errors stay 70 dB down over 90 % of the band."""
STEPS = 64
"""Polyphase steps per sample; linear interpolation between them costs less than -70 dB."""
KAISER_BETA = 6.0


@functools.cache
def _filter_bank() -> NDArray[np.float32]:
    """Windowed sinc filters, float32 (STEPS + 1, TAPS); row p delays by p / STEPS samples."""
    offsets = np.arange(TAPS) - (TAPS // 2 - 1)
    return np.stack([interpolator(p / STEPS, offsets) for p in range(STEPS + 1)]).astype(np.float32)


def interpolator(fraction: float, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of the samples at ``offsets`` (within TAPS / 2 of ``fraction``) for the value at ``fraction``."""
    distance = fraction - offsets
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / (TAPS / 2)) ** 2)))
    taps: NDArray[np.float64] = np.sinc(distance) * window / np.i0(KAISER_BETA)
    return taps


def resample(samples: NDArray[np.complex64], drift: float, start: float) -> NDArray[np.complex64]:
    """Values of ``samples`` at positions ``start + n (1 + drift)``, n = 0..len - 1, zero outside.

    ``samples`` complex64 (n,); ``drift`` is the clock offset (40e-6 for 40 ppm); ``start`` within a few samples of 0.
    Returns complex64 (n,). Errors are 60 dB or more below the signal up to 0.9 of the band.
    """
    n = len(samples)
    reach = int(np.ceil(abs(start) + abs(drift) * n)) + TAPS
    padded = np.concatenate([np.zeros(reach, np.complex64), samples, np.zeros(reach, np.complex64)])
    positions = start + np.arange(n) * (1.0 + drift)
    whole = np.arange(n)
    late = np.asarray((positions - whole) * STEPS, np.float64)
    result = np.empty(n, np.complex64)
    for begin, end in _stretches(late, n):
        step = int(np.floor(0.5 * (late[begin] + late[end - 1])))
        shift, phase = divmod(step, STEPS)
        first = begin + shift + reach - (TAPS // 2 - 1)
        piece = padded[first : first + (end - begin) + TAPS - 1]
        low, high = (np.convolve(piece, _filter_bank()[p, ::-1], "valid") for p in (phase, phase + 1))
        weight = (late[begin:end] - step).astype(np.float32)
        result[begin:end] = low + weight * (high - low)
    return result


def _stretches(late: NDArray[np.float64], n: int) -> list[tuple[int, int]]:
    """Cut 0..n where the delay, in filter steps, passes a whole number."""
    edges = np.flatnonzero(np.diff(np.floor(late))) + 1
    bounds = [0, *edges.tolist(), n]
    return list(pairwise(bounds))
