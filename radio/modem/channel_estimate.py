"""Channel estimate from training: residual offsets, then LMMSE smoothing over subcarriers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.modem.layout import BurstLayout
from radio.modem.peaks import vertex

EARLIEST_DELAY_S = -5e-6
LATEST_DELAY_S = 7e-6
"""Prior of the power delay profile, uniform around the mean delay: filter tails and echoes within the prefix."""
DRIFT_REACH_PPM = 75.0
DRIFT_STEPS = 31


@dataclass(frozen=True)
class TrainingOffsets:
    """How the channel turns from symbol to symbol."""

    phase_step: float
    """Common rotation per symbol, rad."""
    slope_step: float
    """Rotation per symbol and subcarrier, rad: the clock offset."""


def training_offsets(
    observed: NDArray[np.complex64], subcarriers: NDArray[np.int64], slope_reach: float
) -> TrainingOffsets:
    """Maximum-likelihood rotation of ``observed`` (received over sent, shape (symbols, subcarriers)).

    The channel itself is unknown, so energies are summed over subcarriers. ``slope_reach``: the largest
    slope per symbol tried, rad; 0 where the clock offset is known.
    """
    symbol = np.arange(len(observed))[:, None]
    size = 16 * len(observed)
    best = (-1.0, 0.0, 0.0)
    for slope in np.linspace(-slope_reach, slope_reach, DRIFT_STEPS) if slope_reach else [0.0]:
        turned = observed * np.exp(-1j * slope * symbol * subcarriers).astype(np.complex64)
        energy = np.sum(np.abs(fft.fft(turned, size, axis=0)) ** 2, axis=1)
        peak = int(np.argmax(energy))
        if energy[peak] > best[0]:
            fraction = vertex(energy[peak - 1], energy[peak], energy[(peak + 1) % size])
            step = (peak + fraction + size / 2) % size - size / 2
            best = (float(energy[peak]), 2.0 * np.pi * step / size, float(slope))
    return TrainingOffsets(phase_step=best[1], slope_step=best[2])


def slope_reach_of(layout: BurstLayout) -> float:
    """Slope per symbol of a clock that is ``DRIFT_REACH_PPM`` off, rad per subcarrier."""
    return 2.0 * np.pi * DRIFT_REACH_PPM * 1e-6 * layout.symbol_samples / layout.fft_size


def mean_delay(channel: NDArray[np.complex64], subcarriers: NDArray[np.int64], fft_size: int) -> float:
    """Energy-weighted delay of a channel estimate, branch samples."""
    adjacent = np.diff(subcarriers) == 1
    turn = np.angle(np.sum((channel[1:] * np.conj(channel[:-1]))[adjacent]))
    return float(-turn * fft_size / (2.0 * np.pi))


def smooth_channel(raw: NDArray[np.complex64], noise_to_signal: float, layout: BurstLayout) -> NDArray[np.complex64]:
    """LMMSE estimate from the raw one, whose relative error power per subcarrier is ``noise_to_signal``."""
    delay = mean_delay(raw, layout.subcarriers, layout.fft_size)
    turn = np.exp(2j * np.pi * delay / layout.fft_size * layout.subcarriers)
    values, vectors = _prior(tuple(layout.subcarriers.tolist()), layout.sample_rate_hz / layout.fft_size)
    shrink = values / (values + noise_to_signal)
    smooth = vectors @ (shrink * (vectors.conj().T @ (raw * turn)))
    result: NDArray[np.complex64] = (smooth / turn).astype(np.complex64)
    return result


@lru_cache(maxsize=64)
def _prior(subcarriers: tuple[int, ...], spacing_hz: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Eigenvalues and eigenvectors of the channel's covariance over subcarriers."""
    distance = np.subtract.outer(subcarriers, subcarriers) * spacing_hz
    spread = LATEST_DELAY_S - EARLIEST_DELAY_S
    centre = 0.5 * (LATEST_DELAY_S + EARLIEST_DELAY_S)
    covariance = np.sinc(distance * spread) * np.exp(-2j * np.pi * distance * centre)
    values, vectors = np.linalg.eigh(covariance)
    return np.maximum(values, 0.0), vectors
