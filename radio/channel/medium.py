"""What the medium does to the bursts of one window: each client's path, their sum, noise, the converter.

All of it follows from the experiment, the window and the transmitted samples: no state is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Window
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError
from radio.channel import draws
from radio.channel.fading import Taps, apply_taps
from radio.channel.impairments import PRESETS, impair_reception, impair_transmission
from radio.channel.jammer import jammer
from radio.channel.levels import (
    RX_FULL_SCALE_DBM,
    TX_PEAK_AMPLITUDE,
    digital_gain_offset_db,
    noise_dbm,
    path_gain_db,
)
from radio.channel.resampling import TAPS, resample
from radio.numerology import numerology_at

Samples = NDArray[np.complex64]

_PHASOR_BLOCK = 1024


def check_medium(experiment: Experiment) -> None:
    """Raise ConfigurationError or DataError if the medium cannot be as ``[channel]`` says at this sample rate."""
    draws.check_channel(experiment)
    channel, rb_total = experiment.channel, numerology_at(experiment.radio.sample_rate_hz).rb_total
    if channel.jammer_rb is not None and channel.jammer_rb + channel.jammer_rb_count > rb_total:
        raise ConfigurationError(
            f"channel.jammer_rb = {channel.jammer_rb} with jammer_rb_count = {channel.jammer_rb_count} leaves the band "
            f"of {rb_total} RBs"
        )


def propagate(experiment: Experiment, window: Window, client: str, samples: Samples) -> Samples:
    """One client's contribution to the receiver's input, complex64 (n_samples,).

    ``samples``: what its transmitter delivered, complex64 (n_samples,). Applies, in this order, the faults on the
    air, the transmitter's impairments, clock offset and fraction of a sample, carrier offset, phase, path gain, fade.
    """
    received = np.zeros(window.n_samples, np.complex64)
    loaded = np.flatnonzero(samples)
    if len(loaded) == 0:
        return received
    if window.kind == "data" and experiment.channel.inverted_fraction > 0.0:
        samples = _with_inverted_stretches(experiment, window, client, samples)
    if hardware := PRESETS[experiment.channel.impairments]:
        phases = draws.hardware_phases(experiment, client)
        samples = impair_transmission(samples, hardware, phases, TX_PEAK_AMPLITUDE)
    rate_hz = experiment.radio.sample_rate_hz
    taps = draws.taps(experiment, window.round_index, client)
    ppm = draws.offset_ppm(experiment, client)
    phase, fraction = draws.phase_and_fraction(experiment, window, client)
    # Only the stretch around the burst is resampled; the drift up to there is part of the delay.
    reach = TAPS + int(abs(ppm) * 1e-6 * window.n_samples + taps.delays_s.max() * rate_hz) + 1
    begin, end = max(0, int(loaded[0]) - reach), min(window.n_samples, int(loaded[-1]) + reach)
    drift = ppm * 1e-6
    piece = resample(samples[begin:end], drift, begin * drift - fraction)
    cfo_hz = drift * experiment.radio.carrier_hz
    amplitude = _path_amplitude(experiment, client) * _flat_gain(taps) * np.exp(1j * phase)
    piece *= phasor(end - begin, cfo_hz / rate_hz, begin, amplitude)
    received[begin:end] = piece if taps.flat else apply_taps(piece, taps, rate_hz)
    return received


def receive(experiment: Experiment, window: Window, contributions: Mapping[str, Samples]) -> tuple[Samples, int]:
    """Input of the base station's receiver and the number of clipped samples.

    ``contributions``: what ``propagate`` made of each client's samples. Returns complex64 (n_samples,),
    |I|, |Q| <= 1. Clients are added in the order of their names: the sum is bit-identical whoever came first.
    Then come the jammer and the receiver's own impairments.
    """
    noise_db = noise_dbm(experiment, experiment.radio.sample_rate_hz) - RX_FULL_SCALE_DBM
    total = draws.noise(experiment, window)
    total *= np.float32(10.0 ** (noise_db / 20.0))
    for client in sorted(contributions):
        total += contributions[client]
    if experiment.channel.jammer_rb is not None:
        total += _jammed(experiment, window)
    if hardware := PRESETS[experiment.channel.impairments]:
        return impair_reception(total, hardware, draws.hardware_phases(experiment, experiment.channel.receiver), 1.0)
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


def _path_amplitude(experiment: Experiment, client: str) -> float:
    """Factor from transmitted to received samples of a path that does not fade, in digital levels."""
    gain_db = path_gain_db(experiment, experiment.member(client)) - digital_gain_offset_db(experiment)
    amplitude: float = 10.0 ** (gain_db / 20.0)
    return amplitude


def _flat_gain(taps: Taps) -> complex:
    """Gain of a flat channel; 1 where ``apply_taps`` has it all."""
    return complex(taps.gains[0]) if taps.flat else 1.0 + 0.0j


def _jammed(experiment: Experiment, window: Window) -> Samples:
    channel, numerology = experiment.channel, numerology_at(experiment.radio.sample_rate_hz)
    power_dbm = noise_dbm(experiment, numerology.rb_bandwidth_hz) + channel.jammer_db
    rb_power = 10.0 ** ((power_dbm - RX_FULL_SCALE_DBM) / 10.0)
    first = channel.jammer_rb or 0
    return jammer(
        draws.jammer_stream(experiment, window), window.n_samples, numerology, first, channel.jammer_rb_count, rb_power
    )


def _with_inverted_stretches(experiment: Experiment, window: Window, client: str, samples: Samples) -> Samples:
    stretches = -(-len(samples) // draws.INVERTED_STRETCH_SAMPLES)
    inverted = draws.inverted_stretches(experiment, window, client, stretches)
    sign = np.where(inverted, np.float32(-1.0), np.float32(1.0))
    turned: Samples = samples * np.repeat(sign, draws.INVERTED_STRETCH_SAMPLES)[: len(samples)]
    return turned
