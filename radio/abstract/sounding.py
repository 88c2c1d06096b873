"""What the receiver makes of a sounding: its own estimator on the elements that the window's own noise leaves it.

The noise is the very noise that the samples of the window would have met (``draws.noise``), so that one seed gives
the same measurement with and without samples, but for what carrier, clock and timing errors add. Source: ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy import fft

from protocol.bursts import SoundingBurst, Window
from protocol.configuration import Experiment
from radio.channel import draws
from radio.channel.fading import Taps
from radio.channel.medium import receive
from radio.flowgraphs.filters import transmit_taps
from radio.limits import SILENT_SAMPLES
from radio.modem.interference import Background, background, smeared_noise
from radio.modem.layout import BurstLayout
from radio.modem.observation import Estimate, estimate
from radio.modem.ofdm import EARLY_SHARE, phasor
from radio.modem.sequences import training_grid
from radio.modem.spectrum import measure_silence
from radio.modem.trial import branch
from radio.numerology import Numerology

OWN_NOISE = 10.0**-4.9
"""What filters, carrier and clock leave of a sounding beside it, over its power: measured with ``radio.modem.trial`` at
60 dB of SNR (ours; ``python -m benchmarks.abstract_validation own-noise``)."""


class Sounded(NamedTuple):
    """A window in which ``burst`` was sounded.

    ``offset_ppm``: the client's crystal relative to the base station's.
    ``field``: what arrives on each loaded subcarrier, complex128.
    """

    window: Window
    burst: SoundingBurst
    layout: BurstLayout
    taps: Taps
    offset_ppm: float
    field: NDArray[np.complex128]


def measured_silence(experiment: Experiment, window: Window, numerology: Numerology) -> tuple[list[float], list[float]]:
    """Noise per RB and per bin of a silent window, dB relative to full scale."""
    return measure_silence(receive(experiment, window, {})[0], numerology)


def measured(experiment: Experiment, numerology: Numerology, sounded: Sounded) -> Estimate:
    """Channel, signal and noise as the receiver estimates them; powers per subcarrier, full scale 1."""
    window, burst, layout, field = sounded.window, sounded.burst, sounded.layout, sounded.field
    timing = _timing(experiment, numerology, sounded)
    if experiment.channel.jammer_rb is None:
        # What comes after the burst need not be drawn.
        window = replace(window, n_samples=int(timing.first[-1]) + numerology.fft_size)
    samples, _ = receive(experiment, window, {})
    training = training_grid(burst.burst_id, layout)
    observed = field + np.conj(training) * _noise_grid(experiment, numerology, sounded, timing, samples)
    raw = observed.mean(axis=0)
    residual = np.sum(np.abs(observed - raw) ** 2, axis=0) + (len(observed) - 1) * OWN_NOISE * np.abs(field) ** 2
    count = np.full(len(raw), len(observed))
    before = _background(experiment, numerology, sounded, samples)
    noise_rise = smeared_noise(before, layout, 0.0)
    seen = estimate(raw.astype(np.complex64), residual, count, noise_rise, layout)
    # As the receiver: a jammer's smear will not be in a grant.
    return seen._replace(noise=before.rb_noise(layout)) if before is not None and before.jammed else seen


def _background(
    experiment: Experiment, numerology: Numerology, sounded: Sounded, samples: NDArray[np.complex64]
) -> Background | None:
    """What was there before the burst; only looked at where there is a jammer."""
    if experiment.channel.jammer_rb is None:
        return None
    head = branch(sounded.burst, samples[:SILENT_SAMPLES], numerology)
    return background(head, len(head), sounded.layout)


class _Timing(NamedTuple):
    """Where a burst lies in its window, samples."""

    arrival: float
    body: NDArray[np.float64]
    """Of each symbol behind its prefix, (symbols,)."""
    first: NDArray[np.int64]
    """First sample of each symbol's FFT window."""


def _timing(experiment: Experiment, numerology: Numerology, sounded: Sounded) -> _Timing:
    window, burst, layout, taps, offset_ppm, _ = sounded
    clock = 1e-6 * offset_ppm
    _, fraction = draws.phase_and_fraction(experiment, window, burst.client)
    arrival = (SILENT_SAMPLES + draws.jitter(experiment, window, burst.client) + fraction) / (1.0 + clock)
    power = np.abs(taps.gains) ** 2
    mean_delay = numerology.sample_rate_hz * float(power @ taps.delays_s) / float(power.sum())
    body = arrival + numerology.cp + np.arange(layout.symbols) * numerology.symbol_samples / (1.0 + clock)
    return _Timing(arrival, body, np.floor(body + mean_delay - EARLY_SHARE * numerology.cp).astype(np.int64))


def _noise_grid(
    experiment: Experiment, numerology: Numerology, sounded: Sounded, timing: _Timing, samples: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """``samples`` on the burst's elements, carrier and phase of the burst taken out, shape (symbols, subcarriers)."""
    window, burst, layout, _, offset_ppm, _ = sounded
    arrival, body, first = timing
    rate_hz, size = numerology.sample_rate_hz, numerology.fft_size
    phase, _ = draws.phase_and_fraction(experiment, window, burst.client)
    sample = first[:, None] + np.arange(size)
    offset_hz = 1e-6 * offset_ppm * experiment.radio.carrier_hz
    cfo = (offset_hz + burst.cfo_correction_hz) / rate_hz
    # The client's correction turns from its filter's run-in on, the channel's offset from the window's first sample.
    run_in = (len(transmit_taps(numerology, burst)) - 1) // 2
    start = phase + 2.0 * np.pi * (offset_hz * arrival + burst.cfo_correction_hz * run_in) / rate_hz
    turn = phasor(-start - 2.0 * np.pi * cfo * (sample - arrival))
    spectrum = fft.fft(samples[sample] * turn, axis=1)
    carriers = layout.subcarriers + numerology.centre_subcarrier(burst.rb_start, burst.rb_count)
    slope = phasor(2.0 * np.pi / size * np.multiply.outer(body - first, carriers))
    grid: NDArray[np.complex64] = spectrum[:, carriers % size] * slope / np.float32(size)
    return grid
