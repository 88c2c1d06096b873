"""Following a burst's phase: residual carrier offset, phase drift and clock drift, from known elements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.modem.ofdm import phasor
from radio.modem.peaks import vertex

PILOTS_PER_ESTIMATE = 32.0
"""Known elements behind one phase estimate: its error then costs below 0.1 dB."""
ENERGY_PER_ESTIMATE = 60.0
"""Their total SNR, so that a weak burst's phase is averaged longer (0.09 rad)."""
MAX_RESIDUAL_TURNS = 0.05
"""Search range of the residual carrier offset, turns per symbol (360 Hz at 2 Msps)."""
DRIFT_REACH_SAMPLES = 3.0
"""Search range of the residual clock drift over a burst, full-band samples."""
DRIFT_STEPS = 25


@dataclass(frozen=True)
class KnownElements:
    """Training and pilots as received, in order of time; both serve alike. Arrays have shape (elements,)."""

    symbol: NDArray[np.int64]
    column: NDArray[np.int64]
    """Index among the loaded subcarriers."""
    value: NDArray[np.complex64]
    """Received over sent."""
    n_symbols: int
    """Of the burst."""

    @classmethod
    def of(cls, grid: NDArray[np.complex64], is_known: NDArray[np.bool_], sent: NDArray[np.complex64]) -> KnownElements:
        """Those of ``grid`` where ``is_known``, shape (symbols, subcarriers); they were ``sent``, of magnitude 1."""
        index = np.flatnonzero(is_known)
        symbol, column = np.divmod(index, grid.shape[1])
        return cls(symbol, column, grid.ravel()[index] * np.conj(sent), len(grid))

    def turned(self, phase: NDArray[np.float64]) -> KnownElements:
        """Each value turned by its ``phase``, rad."""
        return replace(self, value=self.value * phasor(phase))


def track_phase(known: KnownElements, channel: NDArray[np.complex64], snr: float) -> NDArray[np.float64]:
    """Common phase of each symbol, rad, shape (symbols,). ``snr``: linear, per subcarrier."""
    common = group_sums(known.symbol, known.value * np.conj(channel)[known.column], known.n_symbols)
    step = _residual_step(common)
    symbol = np.arange(len(common))
    turned = common * np.exp(-1j * step * symbol)
    needed = max(PILOTS_PER_ESTIMATE, ENERGY_PER_ESTIMATE / max(snr, 1e-3))
    window = int(np.ceil(needed * known.n_symbols / len(known.value)))
    return step * symbol + np.unwrap(np.angle(_moving_sum(turned, window)))


def group_sums(group: NDArray[np.int64], values: NDArray[np.complex64], n_groups: int) -> NDArray[np.complex128]:
    """Sum of the ``values`` of each ``group`` (0 .. n_groups - 1), shape (n_groups,)."""
    return np.bincount(group, values.real, n_groups) + 1j * np.bincount(group, values.imag, n_groups)


def _residual_step(common: NDArray[np.complex128]) -> float:
    """Strongest rotation per symbol within the search range, rad."""
    size = fft.next_fast_len(8 * len(common))
    energy = np.abs(fft.fft(common, size))
    reach = max(int(MAX_RESIDUAL_TURNS * size), 1)
    candidates = np.arange(-reach, reach + 1)
    peak = int(candidates[np.argmax(energy[candidates])])
    fraction = vertex(energy[peak - 1], energy[peak], energy[(peak + 1) % size])
    return float(2.0 * np.pi / size * (peak + fraction))


def _moving_sum(values: NDArray[np.complex128], window: int) -> NDArray[np.complex128]:
    """Sum over ``window`` neighbours on either side together, fewer at the ends."""
    half = max(window // 2, 0)
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    result: NDArray[np.complex128] = (
        total[np.minimum(index + half + 1, len(values))] - total[np.maximum(index - half, 0)]
    )
    return result


def track_clock_drift(
    known: KnownElements,
    channel: NDArray[np.complex64],
    subcarriers: NDArray[np.int64],
    fft_size: int,
    origin: float,
) -> float:
    """Residual slope per symbol and subcarrier, rad: a grid search, then two Gauss-Newton steps.

    ``known`` has its common phase removed; ``origin`` is the symbol at which ``channel`` holds.
    """
    value = known.value * np.conj(channel)[known.column]
    lever = (known.symbol - origin) * subcarriers[known.column]
    slope = _best_slope(value, lever, 2.0 * np.pi * DRIFT_REACH_SAMPLES / (fft_size * known.n_symbols))
    for _ in range(2):
        aligned = value * phasor(-slope * lever)
        curvature = float(np.sum(lever**2 * np.maximum(aligned.real, 0.0)))
        slope += float(np.sum(lever * aligned.imag)) / max(curvature, 1e-30)
    return slope


def _best_slope(value: NDArray[np.complex64], lever: NDArray[np.float64], reach: float) -> float:
    """The slope of ``DRIFT_STEPS`` within ``+-reach`` that aligns ``value`` best."""
    slopes = np.linspace(-reach, reach, DRIFT_STEPS)
    step = phasor(-(slopes[1] - slopes[0]) * lever)
    aligned = value * phasor(-slopes[0] * lever)
    fit = np.empty(DRIFT_STEPS)
    for index in range(DRIFT_STEPS):
        fit[index] = aligned.real.sum()
        aligned *= step
    return float(slopes[np.argmax(fit)])
