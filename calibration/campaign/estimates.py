"""What one sounding says about its channel, each value with its uncertainty (one standard deviation).

Uncertainties are of noise in the sounding alone; what calibration does not know about a radio's gain comes on top.
Formulas: ours, from the statistics of Gaussian noise on the sounding's known elements.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from calibration.campaign.records import Sounding
from protocol.bursts import SoundingBurst
from radio.modem.layout import BurstLayout, burst_layout
from radio.numerology import Numerology
from radio.quantity import Quantity

DB_PER_NEPER = 10.0 / math.log(10.0)
"""dB of a power per unit of its relative error."""
REDRAWN = 24
"""How often noise is added again to see how a delay spread answers to it."""
SEARCH_ERROR = 0.012
"""Of a step of the receiver's search for a carrier: what interpolating between two leaves, as measured (ours)."""
SEARCH_STEPS = 16
"""Steps per symbol rate over the symbols of a burst."""
LONGEST_LAG = 112
"""Subcarriers apart at most when correlating over frequency: half the band."""
LEAST_CORRELATION = 0.5
"""Squared correlation down to which lags are fitted: its curvature at 0 is the delay spread, whatever the profile."""
SPREADS_S = np.concatenate([[0.0], np.geomspace(5e-9, 5e-6, 180)])
"""RMS delay spreads tried."""

Array = NDArray[np.float64]


class SoundingEstimates(Struct, frozen=True):
    """Estimates of one detected sounding. Arrays are per RB of the band."""

    gain_db: Quantity
    """Mean power gain over the band."""
    rb_gain_uncertainty_db: list[float]
    sinr_uncertainty_db: list[float]
    cfo_hz: Quantity
    delay_spread_s: Quantity
    """RMS, as the burst's own frequency correlation shows it in this band."""


class SoundingGrid(NamedTuple):
    """Where a campaign's soundings lie in time and frequency."""

    numerology: Numerology
    layout: BurstLayout

    @property
    def subcarriers(self) -> NDArray[np.int64]:
        """Loaded subcarriers, ascending."""
        return self.layout.subcarriers


def sounding_grid(numerology: Numerology) -> SoundingGrid:
    """Of soundings over the whole band."""
    return SoundingGrid(numerology, burst_layout(SoundingBurst("grid", 1, 0, numerology.rb_total), numerology))


def estimate_sounding(sounding: Sounding, grid: SoundingGrid) -> SoundingEstimates:
    """Estimates of a detected sounding."""
    layout = grid.layout
    size = np.bincount(layout.rb_of_subcarrier)
    # SINR of the burst as it was received; the record refers it to full power.
    snr = 10.0 ** ((np.array(sounding.sinr_db) + sounding.tx_gain_db) / 10.0)
    power = 10.0 ** (np.array(sounding.gain_db) / 10.0)
    rb_gain = _power_error(snr * layout.symbols, size)
    mean_error = math.sqrt(float(np.sum((power * rb_gain) ** 2))) / float(np.sum(power))
    noise_error = 1.0 / np.sqrt(size * (layout.symbols - 1))
    return SoundingEstimates(
        gain_db=Quantity(sounding.mean_gain_db, DB_PER_NEPER * mean_error),
        rb_gain_uncertainty_db=(DB_PER_NEPER * rb_gain).tolist(),
        sinr_uncertainty_db=(DB_PER_NEPER * np.hypot(rb_gain, noise_error)).tolist(),
        cfo_hz=Quantity(sounding.cfo_hz, _cfo_error_hz(snr, size, layout)),
        delay_spread_s=delay_spread(sounding, grid),
    )


def _power_error(snr: Array, count: NDArray[np.int64]) -> Array:
    """Relative error of a mean power over ``count`` elements of ``snr`` each, noise power taken off."""
    return np.asarray(np.sqrt((2.0 / snr + 1.0 / snr**2) / count))


def _cfo_error_hz(snr: Array, size: NDArray[np.int64], layout: BurstLayout) -> float:
    """Cramer-Rao bound of the turn per symbol from ``layout.symbols`` symbols of noisy phase, and the search's own."""
    count = layout.symbols
    phase_variance = 0.5 / float(np.sum(snr * size))
    turn = math.sqrt(12.0 * phase_variance / (count * (count**2 - 1)))
    symbol_s = layout.symbol_samples / layout.sample_rate_hz
    return math.hypot(turn / (2.0 * math.pi * symbol_s), SEARCH_ERROR / (SEARCH_STEPS * count * symbol_s))


def noise_per_subcarrier(sounding: Sounding, grid: SoundingGrid) -> tuple[NDArray[np.complex64], float]:
    """The channel scaled to mean power 1, and the error power that noise leaves on each of its subcarriers."""
    response = sounding.response
    snr = 10.0 ** ((np.array(sounding.sinr_db) + sounding.tx_gain_db) / 10.0)
    power = 10.0 ** (np.array(sounding.gain_db) / 10.0)
    share = float(np.mean(power / snr) / np.mean(power)) / grid.layout.symbols
    scale = math.sqrt((1.0 + share) / float(np.mean(np.abs(response) ** 2)))
    return (response * np.float32(scale)).astype(np.complex64), share


def delay_spread(sounding: Sounding, grid: SoundingGrid) -> Quantity:
    """RMS delay spread from how the channel's correlation falls over frequency; an exponential profile fits it.

    Its uncertainty is how much it moves when as much noise again is added.
    """
    response, noise = noise_per_subcarrier(sounding, grid)
    value = float(_spread_of(response[None].astype(np.complex128), noise, grid)[0])
    rng = np.random.default_rng(sounding.sweep)
    shape = (REDRAWN, len(response), 2)
    added = rng.standard_normal(shape).view(np.complex128)[..., 0] * math.sqrt(0.5 * noise)
    moved = _spread_of(response + added, 2.0 * noise, grid)
    # Near 0 a spread moves with the root of the noise; half a step of those tried is not resolved either.
    error = max(float(np.sqrt(np.mean((moved - value) ** 2))), 0.02 * value, float(SPREADS_S[1]))
    return Quantity(value, error)


def _spread_of(responses: NDArray[np.complex128], noise: float, grid: SoundingGrid) -> Array:
    """Spread of each response, shape (responses, subcarriers) of mean power 1 plus ``noise``."""
    correlation = frequency_correlation(responses, noise, grid)
    squared = np.abs(correlation.values) ** 2
    spacing_hz = grid.numerology.subcarrier_spacing_hz
    model = exponential_correlation(np.arange(1, squared.shape[1] + 1) * spacing_hz, SPREADS_S)
    below = squared < LEAST_CORRELATION
    last = np.where(below.any(axis=1), np.argmax(below, axis=1), squared.shape[1])
    used = np.arange(squared.shape[1]) < np.maximum(last, 8)[:, None]
    # Squared differences written out, but for what no model changes: products of matrices are much faster.
    weight = used * correlation.pairs
    misfit = weight @ (model**2).T - 2.0 * (weight * squared) @ model.T
    return np.asarray(SPREADS_S[np.argmin(misfit, axis=1)])


class FrequencyCorrelation(NamedTuple):
    """Correlation of a channel with itself at lags of 1, 2, ... subcarriers, relative to its power."""

    values: NDArray[np.complex128]
    """Shape (responses, lags)."""
    pairs: Array
    """Pairs of subcarriers behind each lag, (lags,)."""


def frequency_correlation(responses: NDArray[np.complex128], noise: float, grid: SoundingGrid) -> FrequencyCorrelation:
    """Of each response; ``noise``, its error power per subcarrier, is taken off the power."""
    subcarriers = grid.subcarriers - grid.subcarriers[0]
    size = 2 * (int(subcarriers[-1]) + 1)
    placed = np.zeros((len(responses), size), np.complex128)
    placed[:, subcarriers] = responses
    present = np.zeros(size)
    present[subcarriers] = 1.0
    pairs = np.fft.ifft(np.abs(np.fft.fft(present)) ** 2).real[1 : LONGEST_LAG + 1]
    lags = np.fft.ifft(np.abs(np.fft.fft(placed, axis=1)) ** 2, axis=1)[:, 1 : LONGEST_LAG + 1]
    power = np.mean(np.abs(responses) ** 2, axis=1, keepdims=True) - noise
    return FrequencyCorrelation(lags / pairs / np.maximum(power, 1e-9), pairs)


def exponential_correlation(spacing_hz: Array, spread_s: Array) -> Array:
    """Squared correlation at ``spacing_hz`` (lags,) of exponential profiles of ``spread_s`` (spreads,)."""
    return np.asarray(1.0 / (1.0 + (2.0 * np.pi * np.multiply.outer(spread_s, spacing_hz)) ** 2))
