"""From a played round to the records the run store keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from base_station.lab import Verdict
from base_station.settlement import latency_s
from base_station.state import ServerState
from base_station.store.records import ClientRoundRecord, RoundRecord
from base_station.tsfa.problem import ClientAllocation
from base_station.tsfa.queues import feasibility
from base_station.uplink import UplinkGrant
from protocol.factors import column_overlap
from protocol.messages import Ready
from protocol.update.fragments import FRAGMENT_HEADER_BYTES
from radio.arq import ArqTracker

if TYPE_CHECKING:
    from base_station.aggregation import Aggregate
    from base_station.round import StationRound


def client_records(played: StationRound, state: ServerState, verdict: Verdict) -> list[ClientRoundRecord]:
    """One record per client of the experiment, whether it took part or not."""
    return [_client_record(played, state, name, verdict) for name in played.lab.samples]


def round_record(
    played: StationRound,
    clients: list[ClientRoundRecord],
    aggregate: Aggregate,
    verdict: Verdict,
    common_queue_s: float,
) -> RoundRecord:
    """The record of the round as a whole; wall-clock columns are filled in by the caller."""
    allocation = played.allocation
    assert allocation is not None
    ready = list(played.ready.values())
    cosine_mean, cosine_worst = column_overlap(aggregate.adapter)
    sounding_s = sum(b.air_samples for b in played.windows.bursts if b.kind != "data")
    return RoundRecord(
        round_index=played.index,
        clients_ready=len(ready),
        barrier_s=played.barrier_s,
        airtime_s=played.windows.airtime_s,
        sounding_airtime_s=sounding_s / played.lab.numerology.sample_rate_hz,
        air_bits=sum(c.air_bits for c in clients),
        payload_bits=sum(c.delivered_bits for c in clients),
        downlink_bits=played.downlink_bits,
        objective=allocation.objective,
        lower_bound=allocation.lower_bound,
        gap=allocation.gap,
        exact=allocation.exact,
        common_queue_s=common_queue_s,
        latency_s=max((c.latency_s for c in clients), default=0.0),
        kappa=played.state.kappa or 0.0,
        deliveries_refused=played.windows.refused,
        barred_rbs=played.link.silence.barred,
        noise_db=played.link.silence.noise_db,
        covariance=aggregate.covariance,
        covariance_relative=aggregate.covariance_relative,
        cosine_mean=cosine_mean,
        cosine_worst=cosine_worst,
        additive_over_exact=_mean([r.lora_energy / r.exact_energy for r in ready if r.exact_energy > 0]),
        aggregation_dropped=aggregate.dropped_energy,
        loss=verdict.loss,
        accuracy=verdict.accuracy,
        worst_client_accuracy=min(verdict.client_accuracy.values()),
        macro_f1=verdict.macro_f1,
        note=_note(played, clients),
        solve_wall_s=allocation.solve_s,
    )


def _client_record(played: StationRound, state: ServerState, name: str, verdict: Verdict) -> ClientRoundRecord:
    record = ClientRoundRecord(
        round_index=played.index, client=name, state="gone", queue_s=state.queue_s[name],
        accuracy=verdict.client_accuracy.get(name),
    )  # fmt: skip
    trained = played.ready.get(name) or played.late.get(name)
    if trained is not None:
        _fill_training(record, trained)
        record.weight, record.latency_s = played.weights.get(name, 0.0), latency_s(played, name)
    if name in played.ready:
        _fill_channel(record, played, name)
        _fill_allocation(record, played, name)
    if name in played.link.grants:
        _fill_uplink(record, played, played.link.grants[name])
    record.state, record.reason = _state(played, name)
    return record


def _fill_training(record: ClientRoundRecord, ready: Ready) -> None:
    record.samples = ready.samples
    record.compute_s, record.loss, record.train_wall_s = ready.compute_s, ready.loss, ready.wall_s
    record.bits_requested, record.update_energy = ready.curve[-1][0], ready.curve[0][1]
    record.unsent_energy = ready.curve[0][1]
    record.lora_energy, record.exact_energy = ready.lora_energy, ready.exact_energy
    record.head_energy, record.residual_energy = ready.head_energy, ready.residual_energy
    record.residual_lost, record.residual_lost_energy = ready.residual_lost, ready.residual_lost_energy
    record.cosine_mean, record.cosine_worst = ready.cosine_mean, ready.cosine_worst


def _fill_channel(record: ClientRoundRecord, played: StationRound, name: str) -> None:
    channel = played.link.channels.get(name)
    if channel is not None:
        record.gain_db, record.reference_snr_db = channel.mean_gain_db, channel.reference_snr_db
        record.sinr_db, record.clipped_samples = list(channel.reference_sinr_db), channel.clipped_samples
        record.cfo_hz = channel.residual_cfo_hz
        record.link_offset_db = played.link.offset_db(name)
    for sent in played.windows.transmissions.get(name, []):
        record.transmit_energy_j += sent.energy_j


def _fill_allocation(record: ClientRoundRecord, played: StationRound, name: str) -> None:
    granted: ClientAllocation | None = played.granted.get(name)
    record.latency_predicted_s = granted.latency_s if granted else played.barrier_s
    if granted is not None and granted.bits > 0:
        record.bits_granted = int(granted.bits)
    encoded = played.encoded.get(name)
    if encoded is not None:
        record.payload_bits, record.fragments = encoded.payload_bits, encoded.fragments
        record.sparsity = 1.0 - encoded.lora_values_sent / encoded.lora_values_total
        record.unsent_energy, record.encode_wall_s = encoded.unsent_energy, encoded.wall_s


def _fill_uplink(record: ClientRoundRecord, played: StationRound, grant: UplinkGrant) -> None:
    arq: ArqTracker = grant.arq
    record.rb_start, record.rb_count = grant.rb_start, grant.rb_count
    record.mcs, record.tx_gain_db = grant.last_mcs or grant.link.mcs, grant.tx_gain_db
    record.power_cap_db, record.power_backoff_db = grant.cap_db, grant.backoff_db
    record.airtime_s = grant.air_samples / played.lab.numerology.sample_rate_hz
    record.air_bits, record.retransmission_bits = grant.air_bits, grant.retransmission_bits
    record.coding_bits = grant.coding_bits
    record.header_bits = max(grant.block_bits - record.payload_bits, 0)
    record.evm_db = _mean(grant.evm_db) if grant.evm_db else None
    record.passes = arq.pass_index + 1 if arq.blocks_sent else 0
    record.blocks_sent, record.blocks_failed = arq.blocks_sent, arq.blocks_failed
    record.fragments_forged = arq.fragments_forged
    if record.client in played.lab.roster.left_out:
        return  # what arrived of it is not aggregated
    record.fragments_delivered = len(arq.fragments)
    record.delivered_bits = 8 * sum(len(f) - FRAGMENT_HEADER_BYTES for f in arq.fragments.values())


def _state(played: StationRound, name: str) -> tuple[str, str]:
    reason = played.lab.roster.left_out.get(name, "")
    if reason:
        return "gone" if name not in played.lab.roster.joined else "failed", reason
    if name in played.late:
        return "late", "training took longer than the ready deadline"
    if name not in played.ready:
        return "gone", "not connected"
    if name not in played.link.rates:
        return "not-heard", "its sounding was not heard, or is too weak for the lowest MCS"
    grant = played.link.grants.get(name)
    if grant is None:
        return "silent", f"{_allocator(played)} granted it no bits this round"
    if grant.arq.complete:
        return "delivered", ""
    return ("partial", "") if grant.arq.fragments else ("nothing", "none of its fragments arrived")


def _note(played: StationRound, clients: list[ClientRoundRecord]) -> str:
    if not played.ready:
        return "no client was ready"
    if not played.link.rates:
        return "no client was heard: every sounding was lost in the noise"
    granted = [c for c in clients if c.bits_granted > 0]
    if not granted:
        budget = feasibility([played.barrier_s], played.lab.experiment.tsfa.latency_budget_s)
        queues = "the latency queues outweigh the update energy, or the deadline is too near"
        return f"{_allocator(played)} granted nobody any bits: {queues if budget.feasible else budget.sentence}"
    if not any(c.fragments_delivered for c in granted):
        sent, failed = sum(c.blocks_sent for c in granted), sum(c.blocks_failed for c in granted)
        return f"nothing arrived: {failed} of {sent} code blocks failed their CRC"
    return ""


def _allocator(played: StationRound) -> str:
    rule = played.lab.experiment.tsfa.allocation
    return "TSFA" if rule == "tsfa" else f"the allocation {rule}"


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
