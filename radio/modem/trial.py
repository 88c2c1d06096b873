"""One burst through a flat channel at its branch rate: what link tables, tests and benchmarks are made of.

Random fractional timing, carrier phase, carrier offset, clock offset and white noise; everything the
receiver must find out is drawn here and never told to it. Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from protocol.bursts import Burst, DataBurst
from radio.modem.layout import burst_layout
from radio.modem.mcs import BLOCK_BYTES
from radio.modem.transmitter import modulate
from radio.numerology import Numerology

OVERSAMPLING = 16
"""Linear interpolation between samples this much finer errs by less than -50 dB."""


@dataclass(frozen=True)
class Impairments:
    """What happens to a burst between modulator and demodulator."""

    snr_db: float
    """Received power per RB over noise power per RB (no guard)."""
    start: float = 300.25
    """First burst sample in the stream, branch samples, fractions allowed."""
    cfo_hz: float = 0.0
    clock_ppm: float = 0.0
    """Crystal error of the transmitter: positive is fast, its burst arrives compressed."""
    tail: int = 300
    """Branch samples of noise after the burst."""


def random_blocks(rng: np.random.Generator, burst: DataBurst) -> list[bytes]:
    """Random content for every block of ``burst``."""
    return [rng.bytes(BLOCK_BYTES) for _ in burst.block_ids]


def random_impairments(rng: np.random.Generator, snr_db: float, max_cfo_hz: float, clock_ppm: float) -> Impairments:
    """Start in 200..600 samples, carrier offset within ``max_cfo_hz``, the given clock offset."""
    return Impairments(
        snr_db=snr_db,
        start=float(rng.uniform(200.0, 600.0)),
        cfo_hz=float(rng.uniform(-max_cfo_hz, max_cfo_hz)),
        clock_ppm=clock_ppm,
    )


def pass_channel(
    rng: np.random.Generator,
    burst: Burst,
    sent: NDArray[np.complex64],
    impairments: Impairments,
    numerology: Numerology,
) -> NDArray[np.complex64]:
    """The stream a receiver gets of ``sent`` (``modulate`` of ``burst``)."""
    layout = burst_layout(burst, numerology)
    moved = _resample(sent, impairments)
    turns = impairments.cfo_hz / layout.sample_rate_hz * np.arange(len(moved)) + rng.uniform()
    sent_per_subcarrier = 10.0 ** (burst.tx_gain_db / 10.0) / len(layout.subcarriers)
    sigma = np.sqrt(0.5 * layout.fft_size * sent_per_subcarrier * 10.0 ** (-impairments.snr_db / 10.0))
    noise = rng.standard_normal((len(moved), 2)) @ np.array([sigma, 1j * sigma])
    return (moved * np.exp(2j * np.pi * turns) + noise).astype(np.complex64)


def send(
    rng: np.random.Generator,
    burst: Burst,
    blocks: list[bytes],
    impairments: Impairments,
    numerology: Numerology,
) -> NDArray[np.complex64]:
    """Modulate ``burst`` and pass it through the channel."""
    return pass_channel(rng, burst, modulate(burst, blocks, numerology), impairments, numerology)


def _resample(sent: NDArray[np.complex64], impairments: Impairments) -> NDArray[np.complex64]:
    """Delay and stretch by interpolation of a finer copy."""
    margin = 64
    size = fft.next_fast_len(len(sent) + 2 * margin)
    spectrum = fft.fftshift(fft.fft(np.pad(sent, margin), size))
    before = (size * OVERSAMPLING - size) // 2 + (size % 2 == 0 and 0)
    padded = np.pad(spectrum, (before, size * OVERSAMPLING - size - before))
    shift = size * OVERSAMPLING // 2 - (before + size // 2)
    fine = OVERSAMPLING * fft.ifft(fft.ifftshift(np.roll(padded, shift)))
    length = int(np.ceil(impairments.start + len(sent) * (1.0 + 1e-6 * abs(impairments.clock_ppm)))) + impairments.tail
    times = (np.arange(length) - impairments.start) * (1.0 + 1e-6 * impairments.clock_ppm) + margin
    position = np.clip(times, 0.0, size - 1.0) * OVERSAMPLING
    index = np.minimum(position.astype(np.int64), len(fine) - 2)
    fraction = (position - index).astype(np.float32)
    value = fine[index] * (1.0 - fraction) + fine[index + 1] * fraction
    return np.where((times >= 0.0) & (times <= size - 1.0), value, np.complex64(0))
