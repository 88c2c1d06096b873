"""OFDM mapping: a grid of resource elements to samples, and samples back to a grid.

A grid has shape (symbols, loaded subcarriers). Amplitudes are digital: a subcarrier of amplitude a
in the grid returned by ``demodulate_grid`` has power |a|^2 relative to full scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.modem import kernels
from radio.modem.layout import BurstLayout
from radio.modem.shaping import receive_gain

EARLY_SHARE = 7 / 24
"""FFT windows begin this share of the prefix before the body of the mean path: early paths and the filters' run-in
need some of it, late paths the most."""


def modulate_grid(grid: NDArray[np.complex64], layout: BurstLayout) -> NDArray[np.complex64]:
    """Samples of a grid of unit-energy elements; mean power 1, shape (symbols * symbol_samples,)."""
    spectrum = np.zeros((len(grid), layout.fft_size), np.complex64)
    spectrum[:, layout.subcarriers] = grid * np.float32(layout.fft_size / np.sqrt(len(layout.subcarriers)))
    body = fft.ifft(spectrum, axis=1)
    result: NDArray[np.complex64] = np.concatenate([body[:, -layout.cp :], body], axis=1).ravel()
    return result


def demodulate_grid(
    samples: NDArray[np.complex64],
    layout: BurstLayout,
    start: float,
    n_symbols: int,
    clock_offset_ppm: float = 0.0,
    cfo_hz: float = 0.0,
    clean: Callable[[NDArray[np.complex64]], None] | None = None,
) -> NDArray[np.complex64]:
    """Grid of ``n_symbols`` symbols of a burst whose first prefix sample is ``samples[start]``.

    A transmitter whose crystal is ``clock_offset_ppm`` fast sends shorter symbols: each FFT window is
    shifted by whole samples and the rest taken out as a phase slope. ``cfo_hz`` is taken out too (phase 0 at
    ``start``), and so is the receive filter's gain. Windows begin inside the prefix, so that echoes and filter
    tails on either side fall into it. Samples outside the stream count as 0. ``clean`` is given the windows' FFTs,
    (n_symbols, fft_size), to change in place.
    """
    body = layout.cp + np.arange(n_symbols) * layout.symbol_samples
    ideal = start + body / (1.0 + 1e-6 * clock_offset_ppm)
    first = np.floor(ideal - EARLY_SHARE * layout.cp).astype(np.int64)
    turn = -2.0 * np.pi * cfo_hz / layout.sample_rate_hz
    windows = kernels.fft_windows(samples, first, phasor(turn * np.arange(layout.fft_size)))
    spectrum = fft.fft(windows, axis=1, overwrite_x=True)
    if clean is not None:
        clean(spectrum)
    slope = 2.0 * np.pi * (ideal - first) / layout.fft_size
    phase = turn * (first - start)
    scale = np.float32(1.0 / layout.fft_size) / receive_gain(layout, cfo_hz)
    return kernels.turned_subcarriers(spectrum, layout.subcarriers, phase, slope, scale)


def phasor(phase: NDArray[np.float64]) -> NDArray[np.complex64]:
    """``exp(j phase)`` in single precision, exact for large phases too."""
    # Reduced to one turn in double precision, so that single precision suffices for the exponential.
    turns = phase * (0.5 / np.pi)
    reduced = ((turns - np.rint(turns)) * (2.0 * np.pi)).astype(np.float32)
    phasor = np.empty(phase.shape, np.complex64)
    phasor.real = np.cos(reduced)
    phasor.imag = np.sin(reduced)
    return phasor
