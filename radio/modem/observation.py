"""From a detected burst to its equalised grid: offsets, channel, noise, all from known elements."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import DataBurst
from radio.modem import kernels
from radio.modem.channel_estimate import (
    mean_delay,
    rb_noise,
    slope_reach_of,
    smooth_channel,
    training_offsets,
)
from radio.modem.detection import Detection
from radio.modem.interference import Background, Suppression, background, smeared_noise
from radio.modem.layout import BurstLayout
from radio.modem.ofdm import demodulate_grid, phasor
from radio.modem.sequences import pilot_values
from radio.modem.tracking import KnownElements, group_sums, search_clock_drift, track_clock_drift, track_phase

MISPLACED_SAMPLES = 1.0
"""Full-rate samples by which the last FFT window may miss its place before all are cut anew."""


class Rotation(NamedTuple):
    """How a burst's elements have turned since the channel estimate, per symbol."""

    phase: NDArray[np.float64]
    """Common to all subcarriers, rad."""
    slope: NDArray[np.float64]
    """Rad per subcarrier."""


class Estimate(NamedTuple):
    """Channel, signal and noise from known elements. Powers are per subcarrier, full scale 1."""

    channel: NDArray[np.complex64]
    """Smoothed, times transmitted amplitude, per subcarrier."""
    error: NDArray[np.float64]
    """Error power of the estimate before smoothing, per subcarrier."""
    noise_each: NDArray[np.float64]
    """Noise power on each subcarrier."""
    noise: NDArray[np.float64]
    """Noise power of each RB."""
    power: NDArray[np.float64]
    """Signal power of each RB, estimation noise taken off."""
    evm: float
    """Noise over signal, linear."""
    raw: NDArray[np.complex64]
    """The channel as ``channel``, not smoothed."""


@dataclass(frozen=True)
class Observation:
    """What the known elements of a received burst tell. Powers are per subcarrier, full scale 1."""

    symbols: NDArray[np.complex64]
    """Equalised data elements in order of time, then frequency (a sounding's training instead)."""
    symbol_snr: NDArray[np.float32]
    """Linear, of each of ``symbols``."""
    channel: NDArray[np.complex64]
    """Smoothed channel times transmitted amplitude, per subcarrier."""
    noise: NDArray[np.float64]
    """Noise power of each RB."""
    power: NDArray[np.float64]
    """Signal power of each RB, estimation noise taken off."""
    cfo_hz: float
    start: float
    """Mean arrival of the burst's first sample, branch samples."""
    evm_db: float
    """Error of the equalised elements relative to them: noise and whatever else the known ones show."""
    raw: NDArray[np.complex64]
    """The channel as ``channel``, not smoothed; its delays are around 0."""


def observe_sounding(
    samples: NDArray[np.complex64], found: Detection, layout: BurstLayout, training: NDArray[np.complex64]
) -> Observation:
    """Observation of a burst of training only; its clock offset is unknown and estimated too."""
    reach = slope_reach_of(layout)
    before = background(samples, found.start, layout)
    found = _refined(samples, found, layout, training, 0.0, reach, before)
    grid = demodulate_grid(samples, layout, found.start, layout.symbols, cfo_hz=found.cfo_hz)
    offsets = training_offsets(grid * np.conj(training), layout, reach)
    symbol = np.arange(layout.symbols)
    rotation = Rotation(offsets.phase_step * symbol, offsets.slope_step * symbol)
    every = np.ones(grid.shape, bool)
    known = KnownElements.of(grid, every, training.ravel())
    noise_rise = smeared_noise(before, layout, found.cfo_hz)
    seen = _observation(grid, every, known, rotation, layout, found, noise_rise)
    # A grant's filter will keep a jammer's smear out, so it is not this window's noise that counts.
    return seen if before is None or not before.jammed else replace(seen, noise=before.rb_noise(layout))


def observe_data(
    samples: NDArray[np.complex64],
    found: Detection,
    layout: BurstLayout,
    training: NDArray[np.complex64],
    burst: DataBurst,
) -> Observation:
    """Observation of a data burst."""
    is_pilot = layout.pilot_mask()
    sent = np.concatenate([training.ravel(), pilot_values(burst.burst_id, int(np.count_nonzero(is_pilot)))])
    is_known = np.concatenate([np.ones(training.shape, bool), is_pilot])
    clock_ppm = burst.clock_offset_ppm
    before = background(samples, found.start, layout)
    found = _refined(samples, found, layout, training, clock_ppm, 0.0, before)
    suppression = Suppression(before, layout)
    clean = suppression.at(found.cfo_hz)
    for _ in range(2):
        grid = demodulate_grid(samples, layout, found.start, layout.symbols, clock_ppm, found.cfo_hz, clean)
        known = KnownElements.of(grid, is_known, sent)
        rotation = _track(known, layout)
        missed_ppm = _missed_ppm(rotation, layout)
        if 1e-6 * abs(missed_ppm) * layout.samples * layout.decimation < MISPLACED_SAMPLES:
            break
        # The last windows have left their prefix: all are cut anew.
        clock_ppm += missed_ppm
    since_middle = np.arange(layout.symbols) - 0.5 * (layout.symbols - 1)
    phase_step = float(since_middle @ rotation.phase / (since_middle @ since_middle))
    found = found.turned(phase_step, layout)
    return _observation(grid, ~is_known, known, rotation, layout, found, suppression.noise_rise)


def _missed_ppm(rotation: Rotation, layout: BurstLayout) -> float:
    """Clock offset beyond the one the FFT windows followed: each symbol is that much shorter than they took it for."""
    per_symbol = rotation.slope[1] - rotation.slope[0]
    return float(1e6 * per_symbol * layout.fft_size / (2.0 * np.pi * layout.symbol_samples))


def _refined(
    samples: NDArray[np.complex64],
    found: Detection,
    layout: BurstLayout,
    training: NDArray[np.complex64],
    clock_ppm: float,
    slope_reach: float,
    before: Background | None,
) -> Detection:
    """``found`` with carrier offset and start, the mean delay of the channel, refined by training."""
    grid = demodulate_grid(samples, layout, found.start, len(training), clock_ppm, found.cfo_hz)
    observed = grid * np.conj(training)
    even = observed / np.sqrt(smeared_noise(before, layout, found.cfo_hz)).astype(np.float32)
    offsets = training_offsets(even, layout, slope_reach)
    turn = phasor(-np.outer(np.arange(len(training)), offsets.phase_step + offsets.slope_step * layout.subcarriers))
    raw, noise = _training_mean(observed * turn, layout)
    delay = mean_delay(raw, noise[layout.rb_of_subcarrier] / len(observed), layout)
    start = found.start + float(np.clip(delay, -layout.cp, layout.cp))
    return replace(found.turned(offsets.phase_step, layout), start=start)


def _training_mean(
    observed: NDArray[np.complex64], layout: BurstLayout
) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """Mean over symbols of ``observed`` (training received over sent) and the noise power of each RB."""
    raw = observed.mean(axis=0)
    residual = np.sum(np.abs(observed - raw) ** 2, axis=0, dtype=np.float64)
    return raw, rb_noise(residual, np.full(len(raw), len(observed) - 1), layout)


def _track(known: KnownElements, layout: BurstLayout) -> Rotation:
    """How phase and clock of a burst went, from training and pilots."""
    n_training, n_subcarriers = layout.training_symbols, len(layout.subcarriers)
    head = known.value[: n_training * n_subcarriers].reshape(n_training, n_subcarriers)
    raw, rb_noise_power = _training_mean(head, layout)
    noise = rb_noise_power[layout.rb_of_subcarrier]
    channel = smooth_channel(raw, noise / n_training, layout)
    matched = (channel / noise).astype(np.complex64)
    symbol = np.arange(layout.symbols) - 0.5 * (n_training - 1)
    slope = search_clock_drift(known, matched, layout.subcarriers, slope_reach_of(layout))
    straight = known.turned(-slope * symbol[known.symbol] * layout.subcarriers[known.column])
    phase = track_phase(straight, matched, float(np.mean(np.abs(channel) ** 2 / noise)))
    slope += track_clock_drift(straight.turned(-phase[known.symbol]), matched, layout.subcarriers, -symbol[0])
    return Rotation(phase, slope * symbol)


def _observation(
    grid: NDArray[np.complex64],
    is_wanted: NDArray[np.bool_],
    known: KnownElements,
    rotation: Rotation,
    layout: BurstLayout,
    found: Detection,
    noise_rise: NDArray[np.float64],
) -> Observation:
    """Channel from all known elements, noise from their residuals, then the ``is_wanted`` elements equalised.

    ``noise_rise``: what is known of how noise differs between subcarriers, shape (subcarriers,), 1 where it is least.
    """
    column, subcarriers = known.column, layout.subcarriers
    aligned = known.turned(-rotation.phase[known.symbol] - rotation.slope[known.symbol] * subcarriers[column]).value
    count = np.bincount(column, minlength=len(subcarriers))
    raw = (group_sums(column, aligned, len(subcarriers)) / count).astype(np.complex64)
    residual = np.bincount(column, np.abs(aligned - raw[column]) ** 2, len(subcarriers))
    seen = estimate(raw, residual, count, noise_rise, layout)
    channel = seen.channel
    snr = (np.abs(channel) ** 2 / seen.noise_each).astype(np.float32)
    symbols, symbol_snr = kernels.equalised(
        grid, is_wanted, subcarriers, -rotation.phase, -rotation.slope, np.complex64(1.0) / channel, snr
    )
    return Observation(
        symbols=symbols,
        symbol_snr=symbol_snr,
        channel=channel,
        noise=seen.noise,
        power=seen.power,
        cfo_hz=found.cfo_hz,
        start=found.start + mean_delay(channel, seen.error, layout),
        evm_db=10.0 * math.log10(max(seen.evm, 1e-12)),
        raw=seen.raw,
    )


def estimate(
    raw: NDArray[np.complex64],
    residual: NDArray[Any],
    count: NDArray[Any],
    noise_rise: NDArray[np.float64],
    layout: BurstLayout,
) -> Estimate:
    """Channel, signal and noise from each subcarrier's mean ``raw`` over ``count`` known elements (received over sent).

    ``residual``: their summed power around the mean; ``noise_rise`` as in ``_observation``. Shapes are (subcarriers,).
    """
    # One complex degree of freedom per subcarrier went into its mean.
    quiet = rb_noise(residual / noise_rise, count - 1, layout)
    rb, n_rb = layout.rb_of_subcarrier, layout.rb_count
    noise_each = quiet[rb] * noise_rise
    # The mean of the logarithm: what a code loses to noise that is uneven within an RB.
    noise = quiet * np.exp(np.bincount(rb, np.log(noise_rise)) / np.bincount(rb))
    error = noise_each / count
    power = np.bincount(rb, np.abs(raw) ** 2 - error, n_rb) / np.bincount(rb, minlength=n_rb)
    power = np.maximum(power, 0.05 * noise / count.min())
    channel = smooth_channel(raw, error, layout)
    evm = float(np.sum(noise_each) / np.sum(np.abs(channel) ** 2))
    return Estimate(channel, error, noise_each, noise, power, evm, raw)
