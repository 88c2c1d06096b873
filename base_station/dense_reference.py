"""What dense LoRA would have cost on the channels a run measured.

Every client that was heard sends its whole update (all LoRA values and the head, same quantisation) each round,
with an equal share of the band and the same link adaptation, expected retransmissions included, and no deadline.
Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from base_station.store.run_store import RunStore


@dataclass(frozen=True)
class DenseRound:
    """What one round's measurements say: SINR per RB (dB, reference) of each client that was heard."""

    barrier_s: float
    sounding_airtime_s: float
    sinr_db: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class DenseLink:
    """A client's link over its equal share of the band."""

    rate_bps: float
    """Goodput, expected ARQ included."""
    air_bits_per_bit: float
    """Bits on air per payload bit, headers, coding and expected ARQ included."""


LinkModel = Callable[[Sequence[float], int], DenseLink | None]
"""From SINR per RB and the number of RBs granted to a link; None if no MCS is robust enough."""


class DenseReference(Struct, frozen=True, kw_only=True):
    """Totals over the run's rounds."""

    update_bits: int
    """Payload of one dense update."""
    payload_bits: int
    air_bits: int
    airtime_s: float
    """Sounding included, as in the run."""
    mean_latency_s: float | None
    """Over the client rounds served; None if there were none."""
    served: int
    """Client rounds in which the update got through."""
    unserved: int
    """Client rounds heard, but too weak for the lowest MCS over an equal share."""


def equal_shares(clients: int, rb_total: int, guard_rb: int) -> tuple[int, int]:
    """Turns and RBs per client when ``clients`` share ``rb_total`` equally with guards between.

    One turn, k = floor((K - g (N - 1)) / N), unless that leaves a client without an RB: then the clients go in
    as few equal turns as give each at least one.
    """
    at_once = (rb_total + guard_rb) // (1 + guard_rb)
    turns = math.ceil(clients / at_once)
    together = math.ceil(clients / turns)
    return turns, (rb_total - guard_rb * (together - 1)) // together


def dense_reference(
    rounds: Sequence[DenseRound], update_bits: int, rb_total: int, guard_rb: int, link: LinkModel
) -> DenseReference:
    """Cost of sending ``update_bits`` from every client heard in every round.

    Clients of one turn are on the air together, so a turn lasts as long as its slowest client.
    """
    airtime_s = sum(r.sounding_airtime_s for r in rounds)
    latencies: list[float] = []
    air_bits = 0.0
    unserved = 0
    for measured in (r for r in rounds if r.sinr_db):
        turns, rb_count = equal_shares(len(measured.sinr_db), rb_total, guard_rb)
        links = [link(sinr, rb_count) for sinr in measured.sinr_db.values()]
        served = [found for found in links if found is not None]
        unserved += len(links) - len(served)
        air_bits += sum(update_bits * found.air_bits_per_bit for found in served)
        ends_s = _ends_s(served, turns, update_bits)
        latencies += [measured.barrier_s + end_s for end_s in ends_s]
        airtime_s += max(ends_s, default=0.0)
    return DenseReference(
        update_bits=update_bits,
        payload_bits=update_bits * len(latencies),
        air_bits=round(air_bits),
        airtime_s=airtime_s,
        mean_latency_s=sum(latencies) / len(latencies) if latencies else None,
        served=len(latencies),
        unserved=unserved,
    )


def _ends_s(links: Sequence[DenseLink], turns: int, update_bits: int) -> list[float]:
    """When each client's update is through, s after the grants; a turn starts when the one before has ended."""
    ends_s: list[float] = []
    for turn in _split(links, turns):
        start_s = max(ends_s, default=0.0)
        ends_s += [start_s + update_bits / found.rate_bps for found in turn]
    return ends_s


def _split(links: Sequence[DenseLink], turns: int) -> Iterator[Sequence[DenseLink]]:
    size = max(1, math.ceil(len(links) / turns))
    for start in range(0, len(links), size):
        yield links[start : start + size]


def dense_reference_of(store: RunStore) -> DenseReference | None:
    """The dense reference of a run; None if the run does not say how large a dense update is."""
    from radio.numerology import numerology_at

    update_bits = store.fact("dense_payload_bits")
    if update_bits is None:
        return None
    heard: dict[int, dict[str, Sequence[float]]] = {}
    for client in store.clients():
        if client.sinr_db:
            heard.setdefault(client.round_index, {})[client.client] = client.sinr_db
    rounds = [DenseRound(r.barrier_s, r.sounding_airtime_s, heard.get(r.round_index, {})) for r in store.rounds()]
    radio = store.experiment.radio
    rb_total = numerology_at(radio.sample_rate_hz).rb_total
    return dense_reference(rounds, update_bits, rb_total, radio.guard_rb, _link_model(store))


def _link_model(store: RunStore) -> LinkModel:
    """The run's own link adaptation (rate table, margin, target, power cap)."""
    from radio.fragments import payload_share
    from radio.link_tables import LinkTables
    from radio.modem.mcs import BLOCK_FORMATS, McsTable
    from radio.numerology import numerology_at
    from radio.rates import effective_snr_db, rate_table

    settings = store.experiment.radio
    numerology = numerology_at(settings.sample_rate_hz)
    tables, schemes = LinkTables.load().of(settings.codec), McsTable.load()
    block_bytes = BLOCK_FORMATS[settings.codec].block_bytes
    share = payload_share(settings.fragment_bytes, block_bytes)

    def link(sinr_db: Sequence[float], rb_count: int) -> DenseLink | None:
        rates = rate_table(
            list(sinr_db), numerology, tables, target_block_error_rate=settings.target_block_error_rate,
            margin_db=settings.snr_margin_db, psd_cap_db=settings.psd_cap_db, payload_share=share,
        )  # fmt: skip
        if rb_count > len(rates.rate_bps):
            return None
        mcs = rates.mcs[rb_count - 1]
        boost_db = min(10 * math.log10(len(sinr_db) / rates.rb_used[rb_count - 1]), settings.psd_cap_db)
        snr_db = effective_snr_db([value + boost_db for value in sinr_db], mcs) - settings.snr_margin_db
        sent_per_block = 1 / (1 - tables.block_error_rate(mcs, snr_db))
        coded_bits = schemes[mcs].block_coded_bits
        return DenseLink(rates.rate_bps[rb_count - 1], sent_per_block * coded_bits / (8 * block_bytes * share))

    return link
