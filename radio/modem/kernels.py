"""The modem's inner loops over samples, resource elements and soft bits, compiled.

Each is one pass over its data where array expressions would take several; the tests hold the plain
formulas against them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.modem.compiled import compiled


@compiled
def fft_windows(
    samples: NDArray[np.complex64], first: NDArray[np.int64], turn: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Row m is ``samples[first[m] : first[m] + len(turn)] * turn``; samples outside the stream count as 0."""
    windows = np.zeros((len(first), len(turn)), np.complex64)
    for m in range(len(first)):
        begin = first[m]
        for k in range(max(-begin, 0), min(len(samples) - begin, len(turn))):
            windows[m, k] = samples[begin + k] * turn[k]
    return windows


@compiled
def turned_subcarriers(
    spectrum: NDArray[np.complex64],
    subcarriers: NDArray[np.int64],
    phase: NDArray[np.float64],
    slope: NDArray[np.float64],
    scale: NDArray[np.float32],
) -> NDArray[np.complex64]:
    """``scale[i] * spectrum[m, subcarriers[i]] * exp(j (phase[m] + slope[m] * subcarriers[i]))``."""
    n_symbols, fft_size = spectrum.shape
    grid = np.empty((n_symbols, len(subcarriers)), np.complex64)
    for m in range(n_symbols):
        angle = phase[m] + slope[m] * subcarriers[0]
        turn = complex(np.cos(angle), np.sin(angle))
        step = complex(np.cos(slope[m]), np.sin(slope[m]))
        previous = subcarriers[0]
        for i in range(len(subcarriers)):
            for _ in range(subcarriers[i] - previous):
                turn *= step
            previous = subcarriers[i]
            grid[m, i] = spectrum[m, (previous + fft_size) % fft_size] * turn * scale[i]
    return grid


@compiled
def equalised(
    grid: NDArray[np.complex64],
    wanted: NDArray[np.bool_],
    subcarriers: NDArray[np.int64],
    phase: NDArray[np.float64],
    slope: NDArray[np.float64],
    gain: NDArray[np.complex64],
    snr: NDArray[np.float32],
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """The ``wanted`` elements of ``grid`` in order, turned as in ``turned_subcarriers``, times ``gain[i]``.

    Beside them ``snr[i]``, of the same length.
    """
    count = np.count_nonzero(wanted)
    symbols = np.empty(count, np.complex64)
    symbol_snr = np.empty(count, np.float32)
    n = 0
    for m in range(len(grid)):
        angle = phase[m] + slope[m] * subcarriers[0]
        turn = complex(np.cos(angle), np.sin(angle))
        step = complex(np.cos(slope[m]), np.sin(slope[m]))
        previous = subcarriers[0]
        for i in range(len(subcarriers)):
            for _ in range(subcarriers[i] - previous):
                turn *= step
            previous = subcarriers[i]
            if wanted[m, i]:
                symbols[n] = grid[m, i] * np.complex64(turn) * gain[i]
                symbol_snr[n] = snr[i]
                n += 1
    return symbols, symbol_snr


@compiled
def block_soft_bits(
    symbols: NDArray[np.complex64],
    snr: NDArray[np.float32],
    dimensions: int,
    unit: float,
    slopes: NDArray[np.float32],
    offsets: NDArray[np.float32],
    scrambling: NDArray[np.uint8],
    places: NDArray[np.int64],
    n_blocks: int,
) -> NDArray[np.float32]:
    """Soft bits of ``symbols``, descrambled and put where ``places`` (one block's) says, shape (n_blocks, len(places)).

    Each of the ``dimensions`` carries ``slopes.shape[1]`` bits: soft bit b of the amplitude y is
    ``snr * (slopes[s, b] * y + offsets[s, b])``, s counting segments of width ``unit``, zero in the middle.
    """
    segments, bits = slopes.shape
    soft = np.empty((n_blocks, len(places)), np.float32)
    sign = np.array([1.0, -1.0], np.float32)
    per_unit, middle = np.float32(1.0 / unit), np.float32(segments // 2)
    last = np.float32(segments - 1)
    bit = block = place = 0
    for k in range(len(symbols)):
        for dimension in range(dimensions):
            amplitude = symbols[k].imag if dimension else symbols[k].real
            position = amplitude * per_unit + middle
            s = 0  # also where the amplitude is no number
            if position >= last:
                s = segments - 1
            elif position > 0.0:
                s = int(position)
            for b in range(bits):
                value = snr[k] * (slopes[s, b] * amplitude + offsets[s, b])
                soft[block, places[place]] = value * sign[scrambling[bit]]
                bit += 1
                place += 1
                if place == len(places):
                    place = 0
                    block += 1
                    if block == n_blocks:
                        return soft
    return soft


@compiled
def spread(soft: NDArray[np.float32], places: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """Rows of ``width``: column i of ``soft`` is added at ``places[i]``, the rest is 0."""
    mother = np.zeros((len(soft), width), np.float32)
    for row in range(len(soft)):
        for i in range(len(places)):
            mother[row, places[i]] += soft[row, i]
    return mother


@compiled
def eight_bit_soft_bits(soft: NDArray[np.float32], level: float, erasure: int) -> NDArray[np.uint8]:
    """``soft`` as bytes, ``erasure`` minus the scaled value, ones above it.

    Scaled per row, so that the mean magnitude of what is not 0 becomes ``level``, and limited to a byte.
    """
    quantised = np.empty(soft.shape, np.uint8)
    for row in range(len(soft)):
        total, count = 0.0, 0
        for value in soft[row]:
            total += abs(value)
            count += value != 0.0
        scale = np.float32(level * count / max(total, 1e-30))
        for i in range(soft.shape[1]):
            quantised[row, i] = int(min(max(np.rint(np.float32(erasure) - soft[row, i] * scale), 0.0), 255.0))
    return quantised


@compiled
def lowest_peak(quadrants: NDArray[np.uint8], bins: NDArray[np.int64], turn: NDArray[np.complex64]) -> int:
    """The candidate whose samples have the lowest peak power.

    ``quadrants`` (candidates, bins): of the QPSK points at the ``bins``; the rest of a spectrum is 0.
    ``turn``: one turn in as many steps as the transform has samples, a power of 2 from 4 on.
    The transform is in place and leaves its samples out of order (textbook). Float32 sums in a fixed order, so that
    both ends choose alike whatever their processors. In one piece: only so the compiler sees that columns are
    independent.
    """
    columns, size = len(quadrants), len(turn)
    real, imaginary = np.zeros((size, columns), np.float32), np.zeros((size, columns), np.float32)
    for i in range(len(bins)):
        for c in range(columns):
            quadrant = quadrants[c, i]
            real[bins[i], c] = 1.0 if quadrant == 0 or quadrant == 3 else -1.0
            imaginary[bins[i], c] = 1.0 if quadrant < 2 else -1.0
    width, stride = size, 1
    while width >= 4:
        step = width // 4
        for k in range(size // 4):
            j = k % step
            a = k // step * width + j
            w1, w2, w3 = turn[j * stride], turn[2 * j * stride], turn[3 * j * stride]
            r0, r1, r2, r3 = real[a], real[a + step], real[a + 2 * step], real[a + 3 * step]
            i0, i1, i2, i3 = imaginary[a], imaginary[a + step], imaginary[a + 2 * step], imaginary[a + 3 * step]
            for c in range(columns):
                even_r, even_i, odd_r, odd_i = r0[c] + r2[c], i0[c] + i2[c], r0[c] - r2[c], i0[c] - i2[c]
                sum_r, sum_i, late_r, late_i = r1[c] + r3[c], i1[c] + i3[c], i1[c] - i3[c], r3[c] - r1[c]
                r0[c], i0[c] = even_r + sum_r, even_i + sum_i
                r, i = odd_r + late_r, odd_i + late_i
                r1[c], i1[c] = r * w1.real - i * w1.imag, r * w1.imag + i * w1.real
                r, i = even_r - sum_r, even_i - sum_i
                r2[c], i2[c] = r * w2.real - i * w2.imag, r * w2.imag + i * w2.real
                r, i = odd_r - late_r, odd_i - late_i
                r3[c], i3[c] = r * w3.real - i * w3.imag, r * w3.imag + i * w3.real
        width, stride = step, 4 * stride
    peak = np.zeros(columns, np.float32)
    for k in range(0, size, width):
        # What is left is a transform of length 1 or 2.
        other = k + width - 1
        sign = np.float32(width - 1)
        for c in range(columns):
            r, i = real[k, c] + sign * real[other, c], imaginary[k, c] + sign * imaginary[other, c]
            peak[c] = max(peak[c], r * r + i * i)
            r, i = real[k, c] - sign * real[other, c], imaginary[k, c] - sign * imaginary[other, c]
            peak[c] = max(peak[c], r * r + i * i)
    return int(peak.argmin())
