"""A window whose band is full: a burst of the greatest length in every grant, all at the same SNR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import BurstReport, DataBurst
from protocol.random_streams import random_stream
from radio.flowgraphs.receive import receive_branches
from radio.flowgraphs.transmit import transmit_samples
from radio.limits import SILENT_SAMPLES, window_samples
from radio.modem import MAX_BURST_SAMPLES, McsTable, burst_air_samples, max_blocks, modulate, receive, spectrum_db
from radio.modem.trial import Impairments, Neighbour, Scene, noise_power, random_blocks, received, white_noise
from radio.numerology import Numerology

GRANTS = 4
GUARD_RB = 1
JITTER_SAMPLES = 2048
WINDOWS_PER_SNR = 3
CLEAN_DB = 200.0
MAX_CFO_HZ = 1900.0
MAX_CLOCK_PPM = 20.0


@dataclass(frozen=True)
class FullBand:
    """The bursts of a window, what they carry, and the window without noise (full rate, complex64)."""

    numerology: Numerology
    bursts: list[DataBurst]
    blocks: list[list[bytes]]
    clean: NDArray[np.complex64]

    @property
    def air_s(self) -> float:
        """Seconds of the longest burst: the window counts as no longer, so duty is 100 %."""
        return max(burst_air_samples(b, self.numerology) for b in self.bursts) / self.numerology.sample_rate_hz

    def noisy(self, snr_db: float, seed: int) -> NDArray[np.complex64]:
        """The window at this SNR per RB."""
        power = noise_power(self.bursts[0], snr_db, self.numerology)
        return self.clean + white_noise(random_stream(seed, "full band noise"), len(self.clean), power)

    def lost_blocks(self, reports: Sequence[BurstReport]) -> float:
        """Share of the blocks that did not arrive."""
        lost = [self.lost_blocks_of(position, report) for position, report in enumerate(reports)]
        return sum(lost) / len(lost)

    def lost_blocks_of(self, position: int, report: BurstReport) -> float:
        """The same of one burst."""
        sent = self.blocks[position]
        if any(got not in (None, content) for got, content in zip(report.blocks, sent, strict=True)):
            raise AssertionError(f"burst {report.burst_id}: a wrong block passed its CRC")
        return report.blocks.count(None) / len(sent)


def full_band(mcs: str, numerology: Numerology, seed: int = 1) -> FullBand:
    """Four equal grants with guards between, as wide as the band allows; random carrier and clock offsets."""
    rng = random_stream(seed, "full band", mcs)
    rb_count = (numerology.rb_total + GUARD_RB) // GRANTS - GUARD_RB
    starts = range(0, GRANTS * (rb_count + GUARD_RB), rb_count + GUARD_RB)
    ppm = [float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM)) for _ in starts]
    bursts = [
        DataBurst(
            client=f"client-{index}",
            burst_id=int(rng.integers(2**62)),
            rb_start=start,
            rb_count=rb_count,
            mcs=mcs,
            block_ids=list(range(max_blocks(start, rb_count, mcs, numerology, MAX_BURST_SAMPLES))),
            clock_offset_ppm=ppm[index],
        )
        for index, start in enumerate(starts)
    ]
    blocks = [random_blocks(rng, burst) for burst in bursts]
    first, *others = (
        Neighbour(b, content, 0.0, _start(rng), float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ)), p)
        for b, content, p in zip(bursts, blocks, ppm, strict=True)
    )
    n_samples = window_samples(max(burst_air_samples(b, numerology) for b in bursts), JITTER_SAMPLES)
    impairments = Impairments(CLEAN_DB, first.start, first.cfo_hz, first.clock_ppm, tail=n_samples)
    stream = received(rng, first.burst, first.blocks, impairments, numerology, Scene(neighbours=tuple(others)))
    return FullBand(numerology, bursts, blocks, stream[:n_samples])


def _start(rng: np.random.Generator) -> float:
    return float(SILENT_SAMPLES + rng.uniform(0.0, JITTER_SAMPLES))


def receive_all(band: FullBand, samples: NDArray[np.complex64]) -> list[BurstReport]:
    """Flowgraph and modem, as the base station runs them, in one process."""
    spectrum_db(samples)
    branches = receive_branches(band.bursts, samples, band.numerology)
    return [receive(burst, branch, band.numerology) for burst, branch in zip(band.bursts, branches, strict=True)]


def threshold_db(band: FullBand) -> float:
    """SNR at which about 10 % of the blocks are lost, by bisection over a few windows each."""
    low, high = -3.0, 37.0
    while high - low > 0.1:
        middle = 0.5 * (low + high)
        lost = [band.lost_blocks(receive_all(band, band.noisy(middle, seed))) for seed in range(WINDOWS_PER_SNR)]
        low, high = (middle, high) if sum(lost) / len(lost) > 0.1 else (low, middle)
    return 0.5 * (low + high)


def spectral_efficiency(mcs: str) -> float:
    """Information bits per symbol."""
    scheme = McsTable.load()[mcs]
    return scheme.bits_per_symbol * scheme.code_rate


def transmit_all(band: FullBand) -> None:
    """Modulator and flowgraph of every client."""
    for burst, blocks in zip(band.bursts, band.blocks, strict=True):
        baseband = modulate(burst, blocks, band.numerology)
        transmit_samples(burst, baseband, band.numerology, SILENT_SAMPLES, len(band.clean))
