"""From a detected burst to its equalised grid: offsets, channel, noise, all from known elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import DataBurst
from radio.modem.channel_estimate import (
    mean_delay,
    remove_offsets,
    slope_reach_of,
    smooth_channel,
    training_offsets,
)
from radio.modem.detection import Detection
from radio.modem.layout import BurstLayout
from radio.modem.ofdm import demodulate_grid, phasor, shift_frequency
from radio.modem.sequences import pilot_grid
from radio.modem.tracking import track_clock_drift, track_phase

DRIFT_TRACKING_SYMBOLS = 32
"""Shorter bursts cannot drift by a clock offset that the sounding left."""


@dataclass(frozen=True)
class Observation:
    """What the known elements of a received burst tell. Powers are per subcarrier, full scale 1."""

    grid: NDArray[np.complex64]
    """Received elements with every rotation removed, shape (symbols, subcarriers)."""
    channel: NDArray[np.complex64]
    """Smoothed channel times transmitted amplitude, per subcarrier."""
    noise: NDArray[np.float64]
    """Noise power of each RB."""
    power: NDArray[np.float64]
    """Signal power of each RB, estimation noise taken off."""
    cfo_hz: float
    delay: float
    """Timing beyond the detected start, branch samples."""
    evm_db: float
    """RMS error of the equalised known elements relative to them."""

    def subcarrier_snr(self, layout: BurstLayout) -> NDArray[np.float32]:
        """Linear SNR per subcarrier."""
        noise = self.noise[layout.rb_of_subcarrier]
        return (np.abs(self.channel) ** 2 / noise).astype(np.float32)


def observe_sounding(
    samples: NDArray[np.complex64], found: Detection, layout: BurstLayout, training: NDArray[np.complex64]
) -> Observation:
    """Observation of a burst of training only; its clock offset is unknown and estimated too."""
    reach = slope_reach_of(layout)
    derotated, cfo_hz = _remove_cfo(samples, found, layout, training, 0.0, reach)
    observed = demodulate_grid(derotated, layout, found.start, layout.symbols) * np.conj(training)
    aligned = remove_offsets(observed, layout.subcarriers, training_offsets(observed, layout.subcarriers, reach))
    known = np.ones(training.shape, bool)
    return _observation(aligned * training, aligned, known, layout, cfo_hz)


def observe_data(
    samples: NDArray[np.complex64],
    found: Detection,
    layout: BurstLayout,
    training: NDArray[np.complex64],
    burst: DataBurst,
) -> tuple[Observation, NDArray[np.bool_]]:
    """Observation of a data burst, and the mask of its data elements, shape (symbols, subcarriers)."""
    clock_ppm = burst.clock_offset_ppm
    derotated, cfo_hz = _remove_cfo(samples, found, layout, training, clock_ppm, 0.0)
    grid = demodulate_grid(derotated, layout, found.start, layout.symbols, clock_ppm)
    sent = np.concatenate([training, pilot_grid(burst.burst_id, layout)])
    known = np.concatenate([np.ones(training.shape, bool), layout.pilot_mask()])
    observed = np.where(known, grid * np.conj(sent), np.complex64(0))
    phase, slope = _track(observed, known, layout)
    rotation = phasor(-phase[:, None] - slope[:, None] * layout.subcarriers)
    grid *= rotation
    observed *= rotation
    phase_step = float(np.polyfit(np.arange(layout.symbols), phase, 1)[0])
    cfo_hz += phase_step * layout.sample_rate_hz / (2.0 * np.pi * layout.symbol_samples)
    return _observation(grid, observed, known, layout, cfo_hz), ~known


def _remove_cfo(
    samples: NDArray[np.complex64],
    found: Detection,
    layout: BurstLayout,
    training: NDArray[np.complex64],
    clock_ppm: float,
    slope_reach: float,
) -> tuple[NDArray[np.complex64], float]:
    """``samples`` without the carrier offset, which training refines from the detector's grid; and the offset, Hz."""
    end = found.start + (len(training) + 1) * layout.symbol_samples
    head = shift_frequency(samples[:end], -found.cfo_hz, layout.sample_rate_hz, found.start)
    observed = demodulate_grid(head, layout, found.start, len(training), clock_ppm) * np.conj(training)
    step = training_offsets(observed, layout.subcarriers, slope_reach).phase_step
    cfo_hz = found.cfo_hz + step * layout.sample_rate_hz / (2.0 * np.pi * layout.symbol_samples)
    return shift_frequency(samples, -cfo_hz, layout.sample_rate_hz, found.start), cfo_hz


def _track(
    observed: NDArray[np.complex64], known: NDArray[np.bool_], layout: BurstLayout
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Common phase of each symbol, rad, and its slope, rad per subcarrier."""
    head = observed[: layout.training_symbols]
    raw = head.mean(axis=0)
    noise = float(np.mean(np.abs(head - raw) ** 2)) * len(head) / (len(head) - 1)
    signal = max(float(np.mean(np.abs(raw) ** 2)) - noise / len(head), 1e-2 * noise)
    channel = smooth_channel(raw, noise / len(head) / signal, layout)
    phase = track_phase(observed, channel, known, signal / noise)
    if layout.data_symbols < DRIFT_TRACKING_SYMBOLS:
        return phase, np.zeros(layout.symbols)
    turned = observed * phasor(-phase)[:, None]
    origin = 0.5 * (layout.training_symbols - 1)
    drift = track_clock_drift(turned, channel, layout.subcarriers, layout.fft_size, origin)
    return phase, drift * (np.arange(layout.symbols) - origin)


def _observation(
    grid: NDArray[np.complex64],
    observed: NDArray[np.complex64],
    known: NDArray[np.bool_],
    layout: BurstLayout,
    cfo_hz: float,
) -> Observation:
    """Channel from all known elements (``observed``: received over sent, 0 elsewhere), noise from their residuals."""
    count = np.count_nonzero(known, axis=0)
    raw = observed.sum(axis=0) / count
    residual = np.where(known, np.abs(observed - raw) ** 2, 0.0).sum(axis=0)
    rb, n_rb = layout.rb_of_subcarrier, layout.rb_count
    # One complex degree of freedom per subcarrier went into its mean.
    noise = np.bincount(rb, residual, n_rb) / np.bincount(rb, count - 1, n_rb) + np.finfo(np.float32).tiny
    error = noise[rb] / count
    power = np.bincount(rb, np.abs(raw) ** 2 - error, n_rb) / np.bincount(rb, minlength=n_rb)
    power = np.maximum(power, 0.05 * noise / count.min())
    channel = smooth_channel(raw.astype(np.complex64), float(np.mean(error) / np.mean(power)), layout)
    evm = np.sum(residual) / np.sum(count * np.abs(channel) ** 2)
    return Observation(
        grid=grid,
        channel=channel,
        noise=noise,
        power=power,
        cfo_hz=cfo_hz,
        delay=mean_delay(channel, layout.subcarriers, layout.fft_size),
        evm_db=float(10.0 * np.log10(max(evm, 1e-12))),
    )
