"""One burst through a flat channel: what link tables, tests and benchmarks are made of.

The whole sample path without its processes: modulator, interpolation, the branch filters of both
flowgraphs, and at the full rate random fractional timing, carrier phase, carrier offset, clock offset
and white noise. Everything the receiver must find out is drawn here and never told to it. Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from protocol.bursts import Burst, DataBurst
from radio.channel.resampling import resample
from radio.flowgraphs.filters import receive_taps, transmit_taps
from radio.modem.layout import burst_decimation, burst_layout
from radio.modem.mcs import BLOCK_BYTES
from radio.modem.ofdm import shift_frequency
from radio.modem.transmitter import modulate
from radio.numerology import Numerology

GUARD_RB = 1


@dataclass(frozen=True)
class Impairments:
    """What happens to a burst between modulator and demodulator. Time is in full-rate samples."""

    snr_db: float
    """Received power per RB over noise power per RB (no guard)."""
    start: float = 1500.25
    """Where the burst begins in the stream, fractions allowed."""
    cfo_hz: float = 0.0
    clock_ppm: float = 0.0
    """Crystal error of the transmitter: positive is fast, its burst arrives compressed."""
    tail: int = 1500
    """Samples of noise after the burst."""


def random_blocks(rng: np.random.Generator, burst: DataBurst) -> list[bytes]:
    """Random content for every block of ``burst``."""
    return [rng.bytes(BLOCK_BYTES) for _ in burst.block_ids]


def random_impairments(rng: np.random.Generator, snr_db: float, max_cfo_hz: float, clock_ppm: float) -> Impairments:
    """A start within 1000..3000, a carrier offset within ``max_cfo_hz``, the given clock offset."""
    return Impairments(
        snr_db=snr_db,
        start=float(rng.uniform(1000.0, 3000.0)),
        cfo_hz=float(rng.uniform(-max_cfo_hz, max_cfo_hz)),
        clock_ppm=clock_ppm,
    )


def send(
    rng: np.random.Generator,
    burst: Burst,
    blocks: Sequence[bytes],
    impairments: Impairments,
    numerology: Numerology,
) -> NDArray[np.complex64]:
    """The branch a receiver gets of ``burst``: transmitted, impaired, decimated around its grant."""
    on_air = transmitted(burst, blocks, numerology, impairments.start, impairments.clock_ppm, impairments.tail)
    received = shift_frequency(on_air, impairments.cfo_hz, numerology.sample_rate_hz)
    received *= np.complex64(np.exp(2j * np.pi * rng.uniform()))
    received += white_noise(rng, len(received), noise_power(burst, impairments.snr_db, numerology))
    return branch(burst, received, numerology)


def transmitted(
    burst: Burst,
    blocks: Sequence[bytes],
    numerology: Numerology,
    start: float,
    clock_ppm: float = 0.0,
    tail: int = 1500,
) -> NDArray[np.complex64]:
    """Full-rate stream with ``burst`` from ``start`` on, centred on 0 Hz, seen by the receiver's clock."""
    decimation = burst_decimation(burst, numerology)
    taps = transmit_taps(numerology, burst, GUARD_RB)
    shaped = signal.upfirdn(taps, modulate(burst, blocks, numerology), up=decimation)
    drift = 1e-6 * clock_ppm
    whole, fraction = divmod(start * (1.0 + drift), 1.0)
    first = int(whole) - (len(taps) - 1) // 2
    stream = np.concatenate([np.zeros(first), shaped, np.zeros(tail)]).astype(np.complex64)
    return resample(stream, drift, -fraction)


def branch(burst: Burst, received: NDArray[np.complex64], numerology: Numerology) -> NDArray[np.complex64]:
    """``received`` (full rate, the grant at 0 Hz) filtered and decimated as the receive flowgraph does."""
    decimation = burst_decimation(burst, numerology)
    taps = receive_taps(numerology, burst, GUARD_RB)
    filtered = signal.upfirdn(taps, received, down=decimation)
    delay = (len(taps) - 1) // 2 // decimation
    kept: NDArray[np.complex64] = filtered[delay : delay + len(received) // decimation].astype(np.complex64)
    return kept


def noise_power(burst: Burst, snr_db: float, numerology: Numerology) -> float:
    """Noise power over the full rate that gives ``burst``, received as sent, ``snr_db`` per RB."""
    per_subcarrier = 10.0 ** (burst.tx_gain_db / 10.0) / len(burst_layout(burst, numerology).subcarriers)
    return float(numerology.fft_size * per_subcarrier * 10.0 ** (-snr_db / 10.0))


def white_noise(rng: np.random.Generator, n_samples: int, power: float) -> NDArray[np.complex64]:
    """Circular Gaussian noise of the given mean power."""
    pairs = rng.standard_normal(2 * n_samples, dtype=np.float32) * np.float32(np.sqrt(0.5 * power))
    noise: NDArray[np.complex64] = pairs.view(np.complex64)
    return noise
