"""Reading a transmitter's samples at a receiver's instants: two clocks, a few parts per million or a rate apart.

``drifting`` is ``radio.channel.resampling.resample`` for a stream, as matrix products over short rows: faster, and
compared with it in tests. ``at_other_rate`` takes any pair of rates and is slow. Source: polyphase interpolation as in
any textbook; the rows are ours.
"""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from radio.channel.resampling import STEPS, TAPS, interpolator

Samples = NDArray[np.complex64]

LEAD = TAPS // 2 - 1
"""Samples before the first position that ``drifting`` reads."""
_ROW = 64
"""Outputs of one matrix row; over a row the delay moves by less than one polyphase step up to 240 ppm."""
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

    ``samples``: those that ``span`` names, the first of index ``first``. Errors as of ``resample``.
    """
    rows = -(-n // _ROW)
    late = (start - first - LEAD + drift * _ROW * (np.arange(rows) + 0.5)) * STEPS
    steps = np.floor(late).astype(np.int64)
    parts = np.ascontiguousarray(samples.view(np.float32).reshape(-1, 2).T)
    result = np.empty((2, rows, _ROW), np.float32)
    edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), rows]
    slope = (drift * STEPS * (np.arange(_ROW) - 0.5 * _ROW)).astype(np.float32)
    for begin, end in pairwise(edges):
        shift, phase = divmod(int(steps[begin]), STEPS)
        pieces = _rows(parts, shift + begin * _ROW, end - begin)
        both = (pieces @ _bands()[phase]).reshape(2, end - begin, 2, _ROW)
        weight = (late[begin:end] - steps[begin]).astype(np.float32)[:, None] + slope
        result[:, begin:end] = both[:, :, 0] + weight * (both[:, :, 1] - both[:, :, 0])
    flat = result.reshape(2, -1)[:, :n]
    values: Samples = np.ascontiguousarray(flat.T).view(np.complex64)[:, 0]
    return values


def _rows(parts: NDArray[np.float32], begin: int, rows: int) -> NDArray[np.float32]:
    """``rows`` overlapping rows of both parts from sample ``begin`` on, float32 (2 rows, _ROW + TAPS - 1)."""
    step = parts.strides[1]
    view = as_strided(
        parts[:, begin:], (2, rows, _ROW + TAPS - 1), (parts.strides[0], _ROW * step, step), writeable=False
    )
    return view.reshape(2 * rows, -1)


@functools.cache
def _bands() -> NDArray[np.float32]:
    """Of each polyphase step that filter and the next, banded: float32 (STEPS, _ROW + TAPS - 1, 2 _ROW)."""
    offsets = np.arange(TAPS) - LEAD
    filters = np.stack([interpolator(step / STEPS, offsets) for step in range(STEPS + 1)]).astype(np.float32)
    bands = np.zeros((STEPS, _ROW + TAPS - 1, 2, _ROW), np.float32)
    for column in range(_ROW):
        bands[:, column : column + TAPS, 0, column] = filters[:-1]
        bands[:, column : column + TAPS, 1, column] = filters[1:]
    return bands.reshape(STEPS, _ROW + TAPS - 1, 2 * _ROW)


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
