"""Channel estimate: residual offsets from training, LMMSE smoothing over subcarriers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg

from radio.modem.layout import BurstLayout
from radio.modem.peaks import vertex

SPREADS_S = (0.02e-6, 0.06e-6, 0.17e-6, 0.5e-6, 1.3e-6, 3e-6)
"""Delay spreads tried: a flat channel whose timing is not quite known, up to echoes over the whole prefix."""
LATEST_DELAY_S = 15e-6
"""Between a profile's first path and its last: a prefix, and what the mean delay may be wrong by."""
TOLERABLE_ERROR = 0.3
"""Error power over the median signal power from which on a subcarrier counts less in the mean delay."""
LOUD = 4.0
"""RBs above so many times the median power are turned down to it where energies are summed."""
OUTLIER_DEVIATIONS = 3.5
"""An RB's noise that differs from the others' by so many standard deviations is its own."""
CHANCE_VARIANCE = 2.0
"""Noise of RBs that varies less than so many times its estimates' own variance is taken for even."""
SMALLEST_ERROR = 1e-6
"""Of a raw estimate, relative to its power: below, rounding decides."""
RELATIVE_SPACING = 0.45
"""Of a prior's paths, in delays the burst can resolve: a continuous profile is not told from it."""
DRIFT_REACH_PPM = 75.0
DRIFT_STEPS = 31
DETECTOR_ERROR = 0.6
"""Carrier offset that detection leaves at most, turns over its reference: half a step of its search, and noise."""


@dataclass(frozen=True)
class TrainingOffsets:
    """How the channel turns from symbol to symbol."""

    phase_step: float
    """Common rotation per symbol, rad."""
    slope_step: float
    """Rotation per symbol and subcarrier, rad: the clock offset."""


def training_offsets(observed: NDArray[np.complex64], layout: BurstLayout, slope_reach: float) -> TrainingOffsets:
    """Maximum-likelihood rotation of ``observed`` (received over sent, shape (symbols, subcarriers)).

    The channel itself is unknown, so energies are summed over subcarriers, RBs that are too loud (jammed) turned
    down. Carrier offsets are those that detection leaves. ``slope_reach``: the largest slope per symbol tried, rad;
    0 where the clock offset is known.
    """
    observed = observed * _loud_rb_gain(observed, layout)
    symbol = np.arange(len(observed))[:, None]
    size = 16 * len(observed)
    reach = int(np.ceil(DETECTOR_ERROR / layout.detection_symbols * size))
    steps = np.arange(-reach, reach + 1)
    best = (-1.0, 0.0, 0.0)
    for slope in np.linspace(-slope_reach, slope_reach, DRIFT_STEPS) if slope_reach else [0.0]:
        turned = observed * np.exp(-1j * slope * symbol * layout.subcarriers).astype(np.complex64)
        energy = np.sum(np.abs(fft.fft(turned, size, axis=0)) ** 2, axis=1)
        peak = int(steps[np.argmax(energy[steps])])
        if energy[peak] > best[0]:
            fraction = vertex(energy[peak - 1], energy[peak], energy[(peak + 1) % size])
            best = (float(energy[peak]), 2.0 * np.pi * (peak + fraction) / size, float(slope))
    return TrainingOffsets(phase_step=best[1], slope_step=best[2])


def _loud_rb_gain(observed: NDArray[np.complex64], layout: BurstLayout) -> NDArray[np.float32]:
    """Factor per subcarrier that turns down RBs too loud in ``observed``, shape (symbols, subcarriers)."""
    rb = layout.rb_of_subcarrier
    power = np.bincount(rb, np.mean(np.abs(observed) ** 2, axis=0)) / np.bincount(rb)
    loudest = LOUD * np.median(power)
    gain: NDArray[np.float32] = np.sqrt(loudest / np.maximum(power, loudest + np.finfo(np.float32).tiny))[rb]
    return gain.astype(np.float32)


def slope_reach_of(layout: BurstLayout) -> float:
    """Slope per symbol of a clock that is ``DRIFT_REACH_PPM`` off, rad per subcarrier."""
    return 2.0 * np.pi * DRIFT_REACH_PPM * 1e-6 * layout.symbol_samples / layout.fft_size


def mean_delay(channel: NDArray[np.complex64], error: NDArray[np.float64], layout: BurstLayout) -> float:
    """Energy-weighted delay of a channel estimate whose error power per subcarrier is ``error``, branch samples.

    Subcarriers with more error than signal count less; an error well below the signal says nothing against one.
    Of paths within a prefix of delay 0, then, twice, of those within a prefix of the delay found: the rest is noise.
    """
    subcarriers, size = layout.subcarriers, layout.fft_size
    adjacent = np.diff(subcarriers) == 1
    weighted = channel / (error + TOLERABLE_ERROR * np.median(np.abs(channel) ** 2) + np.finfo(np.float32).tiny)
    delay = 0.0
    for _ in range(3):
        spectrum = np.zeros(size, np.complex128)
        spectrum[subcarriers] = weighted * np.exp(2j * np.pi * delay / size * subcarriers)
        paths = fft.ifft(spectrum)
        paths[layout.cp + 1 : size - layout.cp] = 0.0
        confined = fft.fft(paths)[subcarriers]
        turn = np.angle(np.sum((confined[1:] * np.conj(confined[:-1]))[adjacent]))
        delay -= float(turn) * size / (2.0 * np.pi)
    return delay


def rb_noise(residual: NDArray[Any], freedom: NDArray[Any], layout: BurstLayout) -> NDArray[np.float64]:
    """Noise power of each RB from each subcarrier's summed ``residual`` power and the complex degrees of ``freedom``.

    RBs that differ by no more than chance share their mean: a decoder misled about the noise loses more than one that
    takes it for even. One that stands out, as a jammed one does, keeps its own; between, they are shrunk to the mean.
    """
    rb, n_rb = layout.rb_of_subcarrier, layout.rb_count
    total, count = np.bincount(rb, residual, n_rb), np.bincount(rb, freedom, n_rb)
    own = total / count + np.finfo(np.float32).tiny
    level, variance = np.log(own), (1.0 + 0.5 / count) / count
    usual = np.abs(level - np.median(level)) <= OUTLIER_DEVIATIONS * np.sqrt(variance)
    if np.count_nonzero(usual) < 0.5 * n_rb:
        return own
    mean = np.log(total[usual].sum() / count[usual].sum() + np.finfo(np.float32).tiny)
    excess = max(float(np.var(level[usual]) - CHANCE_VARIANCE * np.mean(variance)), 0.0)
    shrunk = mean + excess / (excess + variance) * (level - mean)
    noise: NDArray[np.float64] = np.where(usual, np.exp(shrunk), own)
    return noise


def smooth_channel(
    raw: NDArray[np.complex64], error: NDArray[np.float64], layout: BurstLayout
) -> NDArray[np.complex64]:
    """LMMSE estimate from the raw one, whose error power on each subcarrier is ``error``, shape (subcarriers,).

    The prior is an exponential power delay profile around the raw estimate's mean delay, of the one of ``SPREADS_S``
    under which the raw estimate is likeliest.
    """
    weight = 1.0 / np.maximum(error, SMALLEST_ERROR * np.mean(np.abs(raw) ** 2))
    delay = mean_delay(raw, error, layout)
    turn = np.exp(2j * np.pi * delay / layout.fft_size * layout.subcarriers)
    power = max(float(np.sum(np.abs(raw) ** 2 * weight - 1.0) / np.sum(weight)), 0.05 / float(np.mean(weight)))
    priors = _priors(tuple(layout.subcarriers.tolist()), layout.sample_rate_hz / layout.fft_size)
    around = raw * turn
    fits = [_fitted(prior, around, weight, power) for prior in priors]
    best = max(fits, key=lambda fit: fit.evidence)
    result: NDArray[np.complex64] = (best.channel() / turn).astype(np.complex64)
    return result


class _Prior(NamedTuple):
    """A channel made of independent paths, equally spaced in delay."""

    paths: NDArray[np.complex128]
    """What a path of amplitude 1 adds to each subcarrier, shape (subcarriers, paths)."""
    spacings: NDArray[np.complex128]
    """The same of paths 0, 1, ... spacings late."""
    apart: NDArray[np.int64]
    """Spacings between two paths, shape (paths, paths)."""
    powers: NDArray[np.float64]
    """Sum 1."""


class _Fit(NamedTuple):
    evidence: float
    """Log-likelihood of the raw estimate under the prior, but for a constant."""
    prior: _Prior
    amplitudes: NDArray[np.complex128]
    """Of the prior's paths."""

    def channel(self) -> NDArray[np.complex128]:
        """Of each subcarrier."""
        channel: NDArray[np.complex128] = self.prior.paths @ self.amplitudes
        return channel


def _fitted(prior: _Prior, raw: NDArray[np.complex128], weight: NDArray[np.float64], power: float) -> _Fit:
    """Mean of the channel given ``raw`` of error power ``1 / weight``, its mean power being ``power``."""
    seen = np.conj((weight * raw).conj() @ prior.paths)
    # Only the lower half is looked at; the upper one would be its conjugate.
    precision = np.conj(weight @ prior.spacings)[prior.apart]
    precision.ravel()[:: len(precision) + 1] += 1.0 / (power * prior.powers)
    factor, amplitudes, _ = linalg.lapack.zposv(precision, seen, lower=True)
    evidence = np.vdot(seen, amplitudes).real
    evidence -= np.sum(np.log(np.diag(factor).real ** 2 * (power * prior.powers)))
    return _Fit(float(evidence), prior, amplitudes.ravel())


@lru_cache(maxsize=64)
def _priors(subcarriers: tuple[int, ...], spacing_hz: float) -> list[_Prior]:
    frequency_hz = spacing_hz * np.array(subcarriers)
    resolution_s = 1.0 / (spacing_hz * (subcarriers[-1] - subcarriers[0] + 1))
    priors = []
    for spread_s in SPREADS_S:
        step_s = min(0.5 * spread_s, RELATIVE_SPACING * resolution_s)
        late_s = np.arange(0.0, min(7.0 * spread_s, LATEST_DELAY_S), step_s)
        power = np.exp(-late_s / spread_s)
        turns = -2j * np.pi * frequency_hz[:, None]
        # The mean of an exponential profile is its spread.
        paths, spacings = np.exp(turns * (late_s - spread_s)), np.exp(turns * late_s)
        index = np.arange(len(late_s))
        priors.append(_Prior(paths, spacings, np.abs(index[:, None] - index), power / power.sum()))
    return priors
