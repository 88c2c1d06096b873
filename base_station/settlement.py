"""Settling a played round: latencies, queues, and what each client may count as arrived."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from base_station.state import ServerState
from base_station.tsfa.queues import next_queue_s, realised_latency_s
from protocol.messages import Participation

if TYPE_CHECKING:
    from base_station.round import StationRound


def next_state(played: StationRound) -> ServerState:
    """What the next round starts from. The queue of a client that took no part stands still."""
    budget_s = played.lab.experiment.tsfa.latency_budget_s
    latencies = {name: latency_s(played, name) for name in (*played.ready, *played.late)}
    queues = dict(played.state.queue_s)
    for name, realised_s in latencies.items():
        queues[name] = next_queue_s(queues[name], realised_s, budget_s)
    common_s = played.state.common_queue_s
    if latencies:
        common_s = next_queue_s(common_s, max(latencies.values()), budget_s)
    return ServerState(
        round_index=played.index,
        queue_s=queues,
        common_queue_s=common_s,
        kappa=played.state.kappa if played.state.kappa is not None else _measured_kappa(played),
        carriers=played.link.carriers,
        links=played.link.states(),
        participations={**played.state.participations, **_participations(played)},
    )


def latency_s(played: StationRound, name: str) -> float:
    """What the round cost a client: barrier plus own airtime with retransmissions; a late one used up the deadline."""
    deadline_s = played.lab.experiment.deadline_s
    if name in played.late:
        return deadline_s
    grant = played.link.grants.get(name)
    airtime_s = grant.air_samples / played.lab.numerology.sample_rate_hz if grant else 0.0
    return realised_latency_s(played.barrier_s, airtime_s, deadline_s)


def _measured_kappa(played: StationRound) -> float | None:
    """Head scale that makes head and LoRA totals equal in the first round: the clients' median, which no liar moves."""
    heard = [r for r in played.ready.values() if r.lora_energy > 0 and r.head_energy > 0]
    ratios = [r.lora_energy / r.head_energy for r in heard]
    return statistics.median(ratios) if ratios else None


def _participations(played: StationRound) -> dict[str, Participation]:
    """What arrived of each client that finished training; of late and dead ones, nothing."""
    taken: dict[str, Participation] = {}
    for name in (*played.ready, *played.late):
        grant = played.link.grants.get(name)
        if grant is None or name in played.lab.roster.left_out:
            taken[name] = Participation(played.index, b"", 0)
        else:
            taken[name] = Participation(played.index, grant.arq.delivered_bitmap(), grant.arq.fragment_count)
    return taken
