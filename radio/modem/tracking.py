"""Following a burst's phase: residual carrier offset, phase drift and clock drift, from known elements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.modem.ofdm import phasor
from radio.modem.peaks import vertex

PILOTS_PER_ESTIMATE = 16.0
"""Known elements behind one phase estimate at least: its error then costs 0.15 dB."""
ENERGY_PER_ESTIMATE = 60.0
"""Their total SNR, so that a weak burst's phase is averaged longer (0.09 rad)."""
WORSE_BY_CHANCE = 2.0
"""By how much of log-likelihood a longer averaging of the phase may seem worse and is still preferred."""
MAX_RESIDUAL_TURNS = 0.15
"""Search range of the residual carrier offset, turns per symbol (1 kHz): what two weak training symbols leave."""
STRETCH_SYMBOLS = 4
"""Symbols over which a residual carrier offset turns the phase little."""
SEARCH_STEP = 2.0
"""Of the clock's search: phase between two candidates at the band's edge when the burst ends, rad."""


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


def track_phase(known: KnownElements, matched: NDArray[np.complex64], snr: float) -> NDArray[np.float64]:
    """Common phase of each symbol, rad, shape (symbols,).

    ``matched``: channel over noise power, per subcarrier; ``snr``: linear, per subcarrier. Averaged over as many
    symbols as the phase stands still: the window whose mean tells a symbol's phase best from the others'.
    """
    common = group_sums(known.symbol, known.value * np.conj(matched)[known.column], known.n_symbols)
    step = _residual_step(common)
    symbol = np.arange(len(common))
    turned = common * np.exp(-1j * step * symbol)
    needed = max(PILOTS_PER_ESTIMATE, ENERGY_PER_ESTIMATE / max(snr, 1e-3))
    shortest = int(np.ceil(needed * known.n_symbols / len(known.value)))
    longest = max(shortest, 4 * len(common))
    sums = _moving_sums(turned, shortest * 2 ** np.arange(1 + int(np.log2(longest / shortest))))
    others = sums - turned
    agreement = np.sum((turned * np.conj(others)).real / np.maximum(np.abs(others), 1e-30), axis=1)
    best = np.flatnonzero(agreement >= agreement.max() - WORSE_BY_CHANCE)[-1]
    return step * symbol + np.unwrap(np.angle(sums[best]))


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


def _moving_sums(values: NDArray[np.complex128], windows: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Sums over so many neighbours on either side together, fewer at the ends, shape (windows, values)."""
    half = windows[:, None] // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    result: NDArray[np.complex128] = (
        total[np.minimum(index + half + 1, len(values))] - total[np.maximum(index - half, 0)]
    )
    return result


def search_clock_drift(
    known: KnownElements, matched: NDArray[np.complex64], subcarriers: NDArray[np.int64], reach: float
) -> float:
    """Slope per symbol and subcarrier, rad, within ``+-reach``, good to what ``track_clock_drift`` follows.

    Before the phase is known: energies of stretches of symbols are added. ``matched``: see ``track_phase``.
    """
    span = known.n_symbols * int(np.max(np.abs(subcarriers)))
    steps = int(np.ceil(reach * span / SEARCH_STEP))
    if steps == 0:
        return 0.0
    slopes = np.linspace(-reach, reach, 2 * steps + 1)
    lever = known.symbol * subcarriers[known.column]
    stretch = known.symbol // STRETCH_SYMBOLS
    begins = np.flatnonzero(np.diff(stretch, prepend=-1))
    turned = known.value * np.conj(matched)[known.column] * phasor(-slopes[0] * lever)
    step = phasor(-(slopes[1] - slopes[0]) * lever)
    energy = np.empty(len(slopes))
    for index in range(len(slopes)):
        energy[index] = np.sum(np.abs(np.add.reduceat(turned, begins)) ** 2)
        turned *= step
    best = int(np.argmax(energy))
    return float(slopes[best])


def track_clock_drift(
    known: KnownElements, matched: NDArray[np.complex64], subcarriers: NDArray[np.int64], origin: float
) -> float:
    """Residual slope per symbol and subcarrier, rad, by Gauss-Newton steps.

    ``known`` has its common phase removed; ``origin`` is the symbol at which ``matched`` holds.
    """
    value = known.value * np.conj(matched)[known.column]
    lever = (known.symbol - origin) * subcarriers[known.column]
    slope = 0.0
    for _ in range(3):
        aligned = value * phasor(-slope * lever)
        curvature = float(np.sum(lever**2 * np.maximum(aligned.real, 0.0)))
        slope += float(np.sum(lever * aligned.imag)) / max(curvature, 1e-30)
    return slope
