"""Bursts through the whole sample path in one process: what link tables, tests, benchmarks and link simulation use.

Modulator, interpolation, the branch filters of both flowgraphs, and at the full rate random fractional
timing, carrier phase, carrier offset, clock offset and white noise; a ``Scene`` adds fading, other clients'
bursts and imperfect radios. Everything the receiver must find out is drawn here and never told to it. Source: ours.

    modulate -> interpolate, to the grant's place -> transmitter -> clock, timing -> fading -> carrier, phase -+
    (each neighbour likewise)                                                                                  +-> noise
    branch of the wanted grant <- receiver <-------------------------------------------------------------------+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from protocol.bursts import Burst, DataBurst
from radio.channel.medium import phasor
from radio.channel.resampling import resample
from radio.flowgraphs.filters import receive_taps, transmit_taps
from radio.modem.layout import burst_decimation, burst_layout
from radio.modem.mcs import McsTable
from radio.modem.transmitter import modulate
from radio.numerology import Numerology

Samples = NDArray[np.complex64]
Stage = Callable[[Samples], Samples]
"""Full-rate samples, the carrier at 0 Hz, to as many samples."""


def unchanged(samples: Samples) -> Samples:
    """The stage that does nothing."""
    return samples


@dataclass(frozen=True)
class Impairments:
    """What happens to a burst between modulator and demodulator. Time is in full-rate samples."""

    snr_db: float
    """Received power per RB over noise power per RB (no guard), before fading."""
    start: float = 1500.25
    """Where the burst begins in the stream, fractions allowed."""
    cfo_hz: float = 0.0
    clock_ppm: float = 0.0
    """Crystal error of the transmitter: positive is fast, its burst arrives compressed."""
    tail: int = 1500
    """Samples of noise after the burst."""


@dataclass(frozen=True)
class Neighbour:
    """Another client's burst on the air at the same time."""

    burst: Burst
    blocks: Sequence[bytes]
    density_db: float
    """Its received power per RB over the wanted burst's, before fading."""
    start: float
    """Where it begins in the wanted burst's stream, also before or beyond it; what lies outside is cut."""
    cfo_hz: float = 0.0
    clock_ppm: float = 0.0
    fading: Stage = unchanged


@dataclass(frozen=True)
class Scene:
    """What else a burst meets on its way."""

    fading: Stage = unchanged
    """Of the wanted burst, of mean power gain 1 (else ``snr_db`` is not the mean SNR)."""
    neighbours: tuple[Neighbour, ...] = ()
    transmitter: Stage = unchanged
    """Every transmitter's own imperfection (image, carrier leakage, converter), at its power as modulated."""
    receiver: Stage = unchanged
    """The receiver's, on the noisy sum."""


CLEAN = Scene()
"""A flat channel, nobody else on the air, perfect radios."""


def random_blocks(rng: np.random.Generator, burst: Burst) -> list[bytes]:
    """Random content for every block of ``burst`` (none for a sounding)."""
    if not isinstance(burst, DataBurst):
        return []
    return [rng.bytes(McsTable.load()[burst.mcs].block_bytes) for _ in burst.block_ids]


def send(
    rng: np.random.Generator,
    burst: Burst,
    blocks: Sequence[bytes],
    impairments: Impairments,
    numerology: Numerology,
    scene: Scene = CLEAN,
) -> Samples:
    """The branch a receiver gets of ``burst``: transmitted, impaired, decimated around its grant."""
    return branch(burst, received(rng, burst, blocks, impairments, numerology, scene), numerology)


def received(
    rng: np.random.Generator,
    burst: Burst,
    blocks: Sequence[bytes],
    impairments: Impairments,
    numerology: Numerology,
    scene: Scene = CLEAN,
) -> Samples:
    """The full-rate stream at the receiver, the carrier at 0 Hz: ``burst``, its neighbours, noise."""
    wanted = transmitted(
        burst,
        blocks,
        numerology,
        impairments.start,
        impairments.clock_ppm,
        impairments.tail,
        scene.transmitter,
    )
    total = _turned(rng, scene.fading(wanted), impairments.cfo_hz, 1.0, numerology)
    for other in scene.neighbours:
        amplitude = _amplitude(burst, other, numerology)
        total += _turned(rng, _neighbour(other, scene, len(total), numerology), other.cfo_hz, amplitude, numerology)
    total += white_noise(rng, len(total), noise_power(burst, impairments.snr_db, numerology))
    return scene.receiver(total)


def transmitted(
    burst: Burst,
    blocks: Sequence[bytes],
    numerology: Numerology,
    start: float,
    clock_ppm: float = 0.0,
    tail: int = 1500,
    transmitter: Stage = unchanged,
) -> Samples:
    """Full-rate stream with ``burst`` from ``start`` on, at its grant's place, seen by the receiver's clock."""
    decimation = burst_decimation(burst, numerology)
    taps = transmit_taps(numerology, burst)
    baseband = modulate(burst, blocks, numerology)
    stuffed = np.zeros((len(baseband) - 1) * decimation + 1, np.complex64)
    stuffed[::decimation] = baseband
    shaped = signal.oaconvolve(stuffed, taps)
    placed = transmitter(
        shaped * _carrier(len(shaped), numerology.centre_hz(burst.rb_start, burst.rb_count), numerology)
    )
    drift = 1e-6 * clock_ppm
    whole, fraction = divmod(start * (1.0 + drift), 1.0)
    first = int(whole) - (len(taps) - 1) // 2
    stream = np.concatenate([np.zeros(max(first, 0)), placed[max(-first, 0) :], np.zeros(tail)]).astype(np.complex64)
    return resample(stream, drift, -fraction)


def branch(burst: Burst, stream: Samples, numerology: Numerology) -> Samples:
    """``stream`` (full rate, the carrier at 0 Hz) shifted, filtered and decimated as the receive flowgraph does."""
    decimation = burst_decimation(burst, numerology)
    taps = receive_taps(numerology, burst)
    centred = stream * _carrier(len(stream), -numerology.centre_hz(burst.rb_start, burst.rb_count), numerology)
    filtered = signal.oaconvolve(centred, taps)[::decimation]
    delay = (len(taps) - 1) // 2 // decimation
    kept: Samples = filtered[delay : delay + len(stream) // decimation].astype(np.complex64)
    return kept


def noise_power(burst: Burst, snr_db: float, numerology: Numerology) -> float:
    """Noise power over the full rate that gives ``burst``, received as sent, ``snr_db`` per RB."""
    return float(numerology.fft_size * _subcarrier_power(burst, numerology) * 10.0 ** (-snr_db / 10.0))


def white_noise(rng: np.random.Generator, n_samples: int, power: float) -> Samples:
    """Circular Gaussian noise of the given mean power."""
    pairs = rng.standard_normal(2 * n_samples, dtype=np.float32) * np.float32(np.sqrt(0.5 * power))
    noise: Samples = pairs.view(np.complex64)
    return noise


def _neighbour(other: Neighbour, scene: Scene, length: int, numerology: Numerology) -> Samples:
    stream = transmitted(
        other.burst, other.blocks, numerology, other.start, other.clock_ppm, transmitter=scene.transmitter
    )
    fitted = np.zeros(length, np.complex64)
    kept = other.fading(stream)[:length]
    fitted[: len(kept)] = kept
    return fitted


def _turned(
    rng: np.random.Generator, stream: Samples, cfo_hz: float, amplitude: float, numerology: Numerology
) -> Samples:
    """``stream`` with a carrier offset, a random phase and an amplitude."""
    start = amplitude * np.exp(2j * np.pi * rng.uniform())
    return stream * phasor(len(stream), cfo_hz / numerology.sample_rate_hz, 0, complex(start))


def _carrier(n: int, frequency_hz: float, numerology: Numerology) -> Samples:
    return phasor(n, frequency_hz / numerology.sample_rate_hz, 0, 1.0)


def _amplitude(burst: Burst, other: Neighbour, numerology: Numerology) -> float:
    """Factor that brings a neighbour, as sent, to its density beside ``burst``, as sent."""
    ratio = _subcarrier_power(burst, numerology) / _subcarrier_power(other.burst, numerology)
    return float(np.sqrt(ratio * 10.0 ** (other.density_db / 10.0)))


def _subcarrier_power(burst: Burst, numerology: Numerology) -> float:
    """Mean power a burst sends on one loaded subcarrier."""
    return float(10.0 ** (burst.tx_gain_db / 10.0)) / len(burst_layout(burst, numerology).subcarriers)
