"""Bursts heard at many SNRs over the same noise, and the SNR at which a tenth of their blocks is lost.

What a burst is on the air is made once; each SNR only scales the noise. So two cases that differ in one thing are
compared over the same draws, and a few bursts suffice to tell tenths of a dB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.bursts import Burst, BurstReport, DataBurst
from protocol.random_streams import random_stream
from radio.channel.impairments import PRESETS, draw_phases, impair_reception, impair_transmission
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.modem import McsTable, receive
from radio.modem.trial import (
    Impairments,
    Neighbour,
    Samples,
    Scene,
    Stage,
    branch,
    noise_power,
    random_blocks,
    received,
    unchanged,
    white_noise,
)
from radio.numerology import DEFAULT_2MSPS

SEED = 1
NUMEROLOGY = DEFAULT_2MSPS
LOST_SHARE = 0.1
NO_NOISE_DB = 400.0
MAX_CFO_HZ = 2e3
"""What the grant's correction leaves of a carrier offset."""
MAX_CLOCK_PPM = 50.0
CLOCK_ESTIMATE_PPM = 0.2
"""Error of the clock offset told to the receiver."""
BISECTIONS = 6


@dataclass(frozen=True, eq=False)
class Heard:
    """One burst on the air and what else is there."""

    burst: Burst
    blocks: list[bytes]
    signals: Samples
    """The burst and its neighbours, no noise."""
    noise: Samples
    """Noise and jammer over noise of power 1."""
    receiver: Stage

    def report(self, snr_db: float) -> BurstReport:
        """What the receiver makes of it."""
        amplitude = np.float32(math.sqrt(noise_power(self.burst, snr_db, NUMEROLOGY)))
        stream = self.receiver(self.signals + amplitude * self.noise)
        return receive(self.burst, branch(self.burst, stream, NUMEROLOGY), NUMEROLOGY)

    def lost(self, snr_db: float) -> int:
        """Blocks lost, wrong ones included."""
        return sum(got != sent for got, sent in zip(self.report(snr_db).blocks, self.blocks, strict=True))


def random_flight(rng: np.random.Generator, clock_ppm: float, tail: int = 1500) -> Impairments:
    """Timing and carrier offset of a data burst; noise comes later."""
    return Impairments(
        snr_db=NO_NOISE_DB,
        start=float(rng.uniform(1100.0, 3000.0)),
        cfo_hz=float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ)),
        clock_ppm=clock_ppm,
        tail=tail,
    )


def hear(
    key: tuple[str | int, ...],
    burst: Burst,
    flight: Impairments,
    neighbours: Sequence[Neighbour] = (),
    preset: str = "none",
) -> Heard:
    """``burst`` beside its ``neighbours``, every radio with phases of its own if ``preset`` impairs it.

    All draws follow from ``key``; noise and path are the same with and without neighbours.
    """
    content, noise_rng, hardware_rng = (
        random_stream(SEED, "heard", *key, part) for part in ("path", "noise", "radios")
    )
    blocks = random_blocks(content, burst)
    transmitter = receiver = unchanged
    hardware = PRESETS[preset]
    if hardware is not None:
        phases = draw_phases(hardware_rng)

        def transmitter(samples: Samples) -> Samples:
            return impair_transmission(samples, hardware, draw_phases(hardware_rng), TX_PEAK_AMPLITUDE)

        def receiver(samples: Samples) -> Samples:
            return impair_reception(samples, hardware, phases, math.inf)[0]

    scene = Scene(neighbours=tuple(neighbours), transmitter=transmitter)
    signals = received(content, burst, blocks, flight, NUMEROLOGY, scene)
    return Heard(burst, blocks, signals, white_noise(noise_rng, len(signals), 1.0), receiver)


def needed_snr_db(bursts: Sequence[Heard], low_db: float, high_db: float) -> float:
    """SNR at which ``LOST_SHARE`` of the blocks is lost, by bisection; infinite if not even ``high_db`` suffices."""
    total = sum(len(heard.blocks) for heard in bursts)

    def log_rate(snr_db: float) -> float:
        return math.log((sum(heard.lost(snr_db) for heard in bursts) + 0.5) / (total + 1.0))

    target = math.log(LOST_SHARE)
    low, high = log_rate(low_db), log_rate(high_db)
    if high > target:
        return math.inf
    for _ in range(BISECTIONS):
        middle_db = 0.5 * (low_db + high_db)
        middle = log_rate(middle_db)
        if middle > target:
            low_db, low = middle_db, middle
        else:
            high_db, high = middle_db, middle
    return low_db + (high_db - low_db) * (low - target) / max(low - high, 1e-9)


def guessed_snr_db(mcs: str) -> float:
    """SNR at which the MCS may begin to work: capacity and a dB and a half."""
    scheme = McsTable.load()[mcs]
    return 1.5 + 10.0 * math.log10(2.0 ** (scheme.bits_per_symbol * scheme.code_rate) - 1.0)


def random_data_burst(
    rng: np.random.Generator, grant: tuple[int, int], mcs: str, blocks: int, clock_ppm: float, told_wrong_ppm: float
) -> DataBurst:
    """A grant of ``blocks`` blocks in (start, count) RBs, its clock known but for ``told_wrong_ppm``."""
    return DataBurst(
        client="bench",
        burst_id=int(rng.integers(2**62)),
        rb_start=grant[0],
        rb_count=grant[1],
        mcs=mcs,
        block_ids=list(range(blocks)),
        clock_offset_ppm=clock_ppm + told_wrong_ppm,
    )


def verdict(value: float, limit: float) -> str:
    """The end of a line: whether a figure holds its limit."""
    return f"limit {limit:g}: {'holds' if value <= limit else 'MISSED'}"


def loss_text(loss_db: float) -> str:
    """A loss in dB; a dash where no SNR in reach helps."""
    return f"{loss_db:5.2f}" if math.isfinite(loss_db) else "    -"
