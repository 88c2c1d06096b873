"""The uplink of one round: bursts of every granted client at once, ARQ passes until complete or deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from base_station.windows import WindowRunner
from protocol.bursts import BurstReport, DataBurst
from radio.adaptation import GrantLink
from radio.arq import ArqTracker
from radio.modem import MAX_BURST_SAMPLES, McsTable, burst_air_samples, burst_coded_bits, max_blocks


@dataclass
class UplinkGrant:
    """One client's grant and what has come of it so far."""

    client: str
    rb_start: int
    rb_count: int
    link: GrantLink
    """MCS and power backoff of the next burst."""
    cap_db: float
    """What the limits leave of power per RB, over its level at full power and full band."""
    power_db: float
    """Power of a burst before the backoff; full power is 0."""
    cfo_correction_hz: float
    clock_offset_ppm: float
    arq: ArqTracker
    air_samples: int = 0
    air_bits: int = 0
    retransmission_bits: int = 0
    coding_bits: int = 0
    block_bits: int = 0
    """Payload bits of the blocks as first sent, padding included."""
    evm_db: list[float] = field(default_factory=list)
    last_mcs: str = ""
    """MCS of the last burst that was detected."""
    backoff_db: float = 0.0
    """Power backoff of the last burst."""

    @property
    def tx_gain_db(self) -> float:
        """Power of the last burst; full power is 0."""
        return self.power_db - self.backoff_db


@dataclass(frozen=True)
class Uplink:
    """Runs the data windows of a round."""

    windows: WindowRunner
    deadline_s: float
    barrier_s: float
    """Model time at which the first grant starts."""

    def run(self, grants: Mapping[str, UplinkGrant]) -> None:
        """Deliver until every grant is complete, out of passes, out of time or left out."""
        while bursts := self._next_bursts(grants):
            report = self.windows.data(bursts, [grants[b.client].arq.pass_index for b in bursts])
            heard = {r.client: r for r in report.bursts}
            for burst in bursts:
                if burst.client not in report.lost:
                    self._take_in(grants[burst.client], burst, heard[burst.client])

    def _next_bursts(self, grants: Mapping[str, UplinkGrant]) -> list[DataBurst]:
        bursts = []
        for grant in grants.values():
            if grant.client not in self.windows.roster.left_out:
                burst = self._next_burst(grant)
                if burst is not None:
                    bursts.append(burst)
        return bursts

    def _next_burst(self, grant: UplinkGrant) -> DataBurst | None:
        rate_hz = self.windows.settings.sample_rate_hz
        left = int((self.deadline_s - self.barrier_s) * rate_hz) - grant.air_samples
        room = min(left, MAX_BURST_SAMPLES)
        limit = max_blocks(grant.rb_start, grant.rb_count, grant.link.mcs, self.windows.numerology, room)
        block_ids = grant.arq.next_blocks(limit) if limit > 0 else []
        if not block_ids:
            return None
        grant.backoff_db = grant.link.backoff_db
        return DataBurst(
            client=grant.client, burst_id=self.windows.burst_id(grant.client), rb_start=grant.rb_start,
            rb_count=grant.rb_count, mcs=grant.link.mcs, block_ids=block_ids, tx_gain_db=grant.tx_gain_db,
            cfo_correction_hz=grant.cfo_correction_hz, clock_offset_ppm=grant.clock_offset_ppm,
        )  # fmt: skip

    def _take_in(self, grant: UplinkGrant, burst: DataBurst, report: BurstReport) -> None:
        numerology = self.windows.numerology
        air_bits = burst_coded_bits(burst, numerology)
        grant.air_samples += burst_air_samples(burst, numerology)
        grant.air_bits += air_bits
        first = grant.arq.pass_index == 0
        if not first:
            grant.retransmission_bits += air_bits
        else:
            payload_bits = 8 * McsTable.load()[burst.mcs].block_bytes * len(burst.block_ids)
            grant.block_bits += payload_bits
            grant.coding_bits += air_bits - payload_bits
        blocks = report.blocks if report.detected else [None] * len(burst.block_ids)
        grant.arq.received(burst.block_ids, blocks)
        if report.detected:
            grant.evm_db.append(report.evm_db)
            grant.last_mcs = burst.mcs
        failed = sum(b is None for b in blocks)
        grant.link.burst_done(len(blocks), failed, first=first, detected=report.detected)
