"""What the medium does to the bursts of one window: each client's path, their sum, noise, the converter.

All of it follows from the experiment, the window and the transmitted samples: no state is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Window
from protocol.configuration import Experiment
from radio.channel import draws
from radio.channel.levels import RX_FULL_SCALE_DBM, digital_gain_offset_db, noise_dbm, path_gain_db
from radio.channel.resampling import TAPS, resample

Samples = NDArray[np.complex64]

_PHASOR_BLOCK = 1024


def digital_amplitude(experiment: Experiment, round_index: int, client: str) -> complex:
    """Factor from transmitted to received samples: path gain and fade, in digital levels."""
    gain_db = path_gain_db(experiment, experiment.member(client)) - digital_gain_offset_db(experiment)
    amplitude: float = 10.0 ** (gain_db / 20.0)
    return amplitude * draws.fade(experiment, round_index, client)


def propagate(experiment: Experiment, window: Window, client: str, samples: Samples) -> Samples:
    """One client's contribution to the receiver's input, complex64 (n_samples,).

    ``samples``: what its transmitter delivered, complex64 (n_samples,). Applies the faults on the air, clock
    offset, fraction of a sample, carrier offset, phase, path gain and fade.
    """
    received = np.zeros(window.n_samples, np.complex64)
    loaded = np.flatnonzero(samples)
    if len(loaded) == 0:
        return received
    if window.kind == "data" and experiment.channel.inverted_fraction > 0.0:
        samples = _with_inverted_stretches(experiment, window, client, samples)
    ppm = draws.offset_ppm(experiment, client)
    phase, fraction = draws.phase_and_fraction(experiment, window, client)
    # Only the stretch around the burst is resampled; the drift up to there is part of the delay.
    reach = TAPS + int(abs(ppm) * 1e-6 * window.n_samples) + 1
    begin, end = max(0, int(loaded[0]) - reach), min(window.n_samples, int(loaded[-1]) + reach)
    drift = ppm * 1e-6
    piece = resample(samples[begin:end], drift, begin * drift - fraction)
    cfo_hz = drift * experiment.radio.carrier_hz
    amplitude = digital_amplitude(experiment, window.round_index, client) * np.exp(1j * phase)
    received[begin:end] = piece * phasor(end - begin, cfo_hz / experiment.radio.sample_rate_hz, begin, amplitude)
    return received


def receive(experiment: Experiment, window: Window, contributions: Mapping[str, Samples]) -> tuple[Samples, int]:
    """Input of the base station's receiver and the number of clipped samples.

    ``contributions``: what ``propagate`` made of each client's samples. Returns complex64 (n_samples,),
    |I|, |Q| <= 1. Clients are added in the order of their names: the sum is bit-identical whoever came first.
    """
    noise_db = noise_dbm(experiment, experiment.radio.sample_rate_hz) - RX_FULL_SCALE_DBM
    total = draws.noise(experiment, window)
    total *= np.float32(10.0 ** (noise_db / 20.0))
    for client in sorted(contributions):
        total += contributions[client]
    return clip(total, 1.0)


def clip(samples: Samples, limit: float) -> tuple[Samples, int]:
    """Limit both parts of every sample to +-limit, as a converter does; returns the samples and how many it hit."""
    parts = samples.view(np.float32)
    beyond = np.abs(parts) > limit
    if not beyond.any():
        return samples, 0
    clipped = np.clip(parts, -limit, limit).astype(np.float32).view(np.complex64)
    return clipped, int(np.count_nonzero(beyond.reshape(-1, 2).any(axis=1)))


def phasor(n: int, cycles_per_sample: float, first: int, amplitude: complex) -> Samples:
    """``amplitude * exp(2j pi cycles_per_sample (first + i))``, i = 0..n - 1, complex64 (n,).

    Exact in float64 per block and per place in the block; much faster than n complex exponentials.
    """
    blocks = first + _PHASOR_BLOCK * np.arange(-(-n // _PHASOR_BLOCK))
    outer = amplitude * np.exp(2j * np.pi * ((cycles_per_sample * blocks) % 1.0))
    inner = np.exp(2j * np.pi * cycles_per_sample * np.arange(_PHASOR_BLOCK))
    table: Samples = np.multiply.outer(outer, inner).astype(np.complex64).ravel()[:n]
    return table


def _with_inverted_stretches(experiment: Experiment, window: Window, client: str, samples: Samples) -> Samples:
    stretches = -(-len(samples) // draws.INVERTED_STRETCH_SAMPLES)
    inverted = draws.inverted_stretches(experiment, window, client, stretches)
    sign = np.where(inverted, np.float32(-1.0), np.float32(1.0))
    turned: Samples = samples * np.repeat(sign, draws.INVERTED_STRETCH_SAMPLES)[: len(samples)]
    return turned
