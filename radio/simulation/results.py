"""What the bursts of a point amount to: the figures of ``airtune link simulate``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from protocol.configuration import RadioTable
from radio.fragments import payload_share
from radio.modem.mcs import McsTable
from radio.simulation.burst import BurstOutcome
from radio.simulation.scenario import NUMEROLOGY, Point, Scenario

FRAGMENT_BYTES = RadioTable().fragment_bytes


class PointResult(Struct, frozen=True, kw_only=True):
    """Figures of one point (DESIGN, section 6). Rates are of the whole point, so ratios of sums."""

    snr_db: float
    """Mean received power while on over N0 times the granted bandwidth."""
    mcs: str
    """The scheme sent; ``auto`` if not every burst had the same."""
    burst_error_rate: float
    """Share of bursts that lost a block."""
    block_error_rate: float
    goodput_bps: float
    """Update bits in blocks that arrived (no CRC, no fragment header) per second on the air."""
    bandwidth_hz: float
    capacity_bps: float
    """``bandwidth_hz`` times log2(1 + SNR), in fading its mean over bursts and subcarriers."""
    efficiency: float
    """``goodput_bps`` over ``capacity_bps``."""
    bursts: int
    bursts_missed: int
    """Not detected at all."""
    blocks: int
    blocks_lost: int
    wrong_blocks: int
    """Passed their CRC with other content than was sent (counted as lost)."""
    air_s: float
    """First preamble sample to last data sample, all bursts."""
    evm_db: float | None
    """Mean over detected bursts; None if there was none."""
    mcs_bursts: dict[str, int]
    """Bursts by scheme."""


def summarise(scenario: Scenario, point: Point, outcomes: Sequence[BurstOutcome]) -> PointResult:
    """Figures of a point from its bursts."""
    blocks = sum(o.blocks for o in outcomes)
    lost = sum(o.lost for o in outcomes)
    air_s = sum(o.air_samples for o in outcomes) / NUMEROLOGY.sample_rate_hz
    goodput_bps = sum(block_payload_bits(o.mcs) * (o.blocks - o.lost) for o in outcomes) / air_s
    capacity_bps = scenario.bandwidth_hz * float(np.mean([o.spectral_capacity for o in outcomes]))
    errors_db = [o.evm_db for o in outcomes if o.detected]
    counts = Counter(o.mcs for o in outcomes)
    return PointResult(
        snr_db=point.snr_db,
        mcs=next(iter(counts)) if len(counts) == 1 else point.mcs,
        burst_error_rate=sum(o.lost > 0 for o in outcomes) / len(outcomes),
        block_error_rate=lost / blocks,
        goodput_bps=goodput_bps,
        bandwidth_hz=scenario.bandwidth_hz,
        capacity_bps=capacity_bps,
        efficiency=goodput_bps / capacity_bps,
        bursts=len(outcomes),
        bursts_missed=sum(not o.detected for o in outcomes),
        blocks=blocks,
        blocks_lost=lost,
        wrong_blocks=sum(o.wrong for o in outcomes),
        air_s=air_s,
        evm_db=float(np.mean(errors_db)) if errors_db else None,
        mcs_bursts=dict(sorted(counts.items())),
    )


def awgn_capacity_bps(bandwidth_hz: float, snr_db: float) -> float:
    """``bandwidth_hz`` times log2(1 + SNR)."""
    return bandwidth_hz * math.log2(1.0 + 10.0 ** (snr_db / 10.0))


def block_payload_bits(mcs: str) -> float:
    """Update bits of a block: its payload less its share of the fragment's length, tag and padding."""
    block_bytes = McsTable.load()[mcs].block_bytes
    return 8.0 * block_bytes * payload_share(FRAGMENT_BYTES, block_bytes)
