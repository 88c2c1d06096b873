"""Reading a transmitter's samples at a receiver's instants: two clocks, a few parts per million or a rate apart.

``drifting`` is ``radio.channel.resampling.resample`` for a stream, as matrix products over short rows: faster, and
compared with it in tests. ``at_other_rate`` takes any pair of rates and is slow. Source: polyphase interpolation as in
any textbook; the rows are ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from radio.channel.resampling import TAPS, interpolator

Samples = NDArray[np.complex64]

LEAD = TAPS // 2 - 1
"""Samples before the first position that ``drifting`` reads."""
_ROW = 64
"""Outputs of one matrix row; over a row the delay moves by half a polyphase step at 240 ppm."""
_STEPS = 32
"""Polyphase steps per sample; straight lines between them cost less than -60 dB."""
_PASS_BAND = 0.9
"""Part of the narrower of two bands that ``at_other_rate`` keeps."""
_GATHER_LIMIT = 2**18


def span(start: float, drift: float, n: int) -> tuple[int, int]:
    """First sample and number of samples that ``drifting(.., start, drift, n)`` reads."""
    rows = -(-n // _ROW)
    first = int(np.floor(start)) - LEAD - 2
    reach = int(np.ceil(abs(drift) * rows * _ROW)) + 4
    return (first - reach if drift < 0.0 else first), rows * _ROW + TAPS + 2 * reach


def drifting(samples: Samples, first: int, start: float, drift: float, n: int) -> Samples:
    """Values at positions ``start + k (1 + drift)``, k = 0..n - 1, complex64 (n,).

    ``samples``: those that ``span`` names, the first of index ``first``. Errors are 60 dB or more below the signal up
    to 0.9 of the band.
    """
    rows = -(-n // _ROW)
    late = (start - first - LEAD + drift * _ROW * (np.arange(rows) + 0.5)) * _STEPS
    steps = np.floor(late).astype(np.int64)
    pieces = _rows(samples, steps // _STEPS)
    both = np.empty((2, rows, 2 * _ROW), np.float32)
    for begin, end in _equal(steps):
        np.matmul(pieces[:, begin:end], _bands()[steps[begin] % _STEPS], out=both[:, begin:end])
    low, high = both[:, :, :_ROW], both[:, :, _ROW:]
    slope = (drift * _STEPS * (np.arange(_ROW) - 0.5 * _ROW)).astype(np.float32)
    high -= low
    high *= (late - steps).astype(np.float32)[:, None] + slope
    high += low
    values = np.empty((rows, _ROW), np.complex64)
    values.real, values.imag = high
    result: Samples = values.ravel()[:n]
    return result


def _equal(values: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """Where stretches of equal values begin and end."""
    return pairwise([0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)])


def _rows(samples: Samples, shifts: NDArray[np.int64]) -> NDArray[np.float32]:
    """What each row of outputs is made of, overlapping, by parts: float32 (2, rows, _ROW + TAPS - 1).

    ``shifts``: first sample of each row beyond that of a row without drift.
    """
    pieces = np.empty((2, len(shifts), _ROW + TAPS - 1), np.float32)
    for part, source in zip(pieces, (samples.real, samples.imag), strict=True):
        whole = np.ascontiguousarray(source)
        for begin, end in _equal(shifts):
            offset = 4 * (begin * _ROW + int(shifts[begin]))
            part[begin:end] = np.ndarray((end - begin, _ROW + TAPS - 1), np.float32, whole.data, offset, (4 * _ROW, 4))
    return pieces


@functools.cache
def _bands() -> NDArray[np.float32]:
    """Of each polyphase step that filter and the next, banded: float32 (_STEPS, _ROW + TAPS - 1, 2 _ROW)."""
    offsets = np.arange(TAPS) - LEAD
    filters = np.stack([interpolator(step / _STEPS, offsets) for step in range(_STEPS + 1)]).astype(np.float32)
    bands = np.zeros((_STEPS, _ROW + TAPS - 1, 2, _ROW), np.float32)
    for column in range(_ROW):
        bands[:, column : column + TAPS, 0, column] = filters[:-1]
        bands[:, column : column + TAPS, 1, column] = filters[1:]
    return bands.reshape(_STEPS, _ROW + TAPS - 1, 2 * _ROW)


def reach_at_other_rate(ratio: float) -> int:
    """Samples that ``at_other_rate`` reads on either side of a position."""
    return int(np.ceil(TAPS // 2 * max(1.0, ratio / _PASS_BAND))) + 1


def at_other_rate(samples: Samples, first: int, start: float, ratio: float, n: int) -> Samples:
    """Values at positions ``start + k ratio``, k = 0..n - 1, complex64 (n,), band-limited to both rates.

    ``ratio``: rate of ``samples`` over the wanted one. ``samples``, the first of index ``first``, must reach
    ``reach_at_other_rate`` beyond all positions.
    """
    reach, stretch = reach_at_other_rate(ratio), max(1.0, ratio / _PASS_BAND)
    offsets = np.arange(-reach, reach + 1)
    result = np.empty(n, np.complex64)
    rows = max(1, _GATHER_LIMIT // len(offsets))
    for begin in range(0, n, rows):
        positions = start + ratio * np.arange(begin, min(begin + rows, n))
        whole = np.floor(positions).astype(np.int64)
        distance = (positions - whole)[:, None] - offsets
        weights = _stretched_sinc(distance / stretch) / stretch
        values = samples[whole[:, None] + offsets - first]
        result[begin : begin + len(whole)] = np.einsum("ij,ij->i", values, weights.astype(np.float32))
    return result


def _stretched_sinc(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The interpolator's window and sinc at any distance, in its own samples."""
    inside = np.maximum(0.0, 1.0 - (distance / (TAPS / 2)) ** 2)
    values: NDArray[np.float64] = np.sinc(distance) * np.i0(6.0 * np.sqrt(inside)) / np.i0(6.0)
    return np.where(inside > 0.0, values, 0.0)
