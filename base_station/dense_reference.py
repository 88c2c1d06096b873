"""What dense LoRA would have cost on the channels a run measured.

Every client that was heard sends its whole update (all LoRA values and the head, same quantisation) each round,
with the best grant inside an equal, contiguous share of the band (shares lie side by side in the clients' order),
the same link adaptation and expected retransmissions, full power and no deadline. Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from base_station.store.run_store import RunStore


@dataclass(frozen=True)
class DenseChannel:
    """What was known of one client's channel in one round."""

    sinr_db: Sequence[float]
    """Per RB, full band and full power."""
    offset_db: float = 0.0
    """Of the link adaptation."""
    barred: Sequence[int] = ()
    """RBs with interference."""


@dataclass(frozen=True)
class DenseRound:
    """What one round's measurements say; ``channels``: of each client that was heard."""

    barrier_s: float
    sounding_airtime_s: float
    channels: Mapping[str, DenseChannel]


@dataclass(frozen=True)
class DenseLink:
    """A client's link over its equal share of the band."""

    rate_bps: float
    """Goodput, expected ARQ included."""
    air_bits_per_bit: float
    """Bits on air per payload bit, headers, coding and expected ARQ included."""


LinkModel = Callable[[DenseChannel, int, int], DenseLink | None]
"""From a channel, and first RB and number of RBs of a share, to a link; None if no MCS is robust enough."""


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
    for measured in (r for r in rounds if r.channels):
        turns, rb_count = equal_shares(len(measured.channels), rb_total, guard_rb)
        together = math.ceil(len(measured.channels) / turns)
        links = [
            link(channel, (index % together) * (rb_count + guard_rb), rb_count)
            for index, channel in enumerate(measured.channels.values())
        ]
        served = [found for found in links if found is not None]
        unserved += len(links) - len(served)
        air_bits += sum(update_bits * found.air_bits_per_bit for found in served)
        ends_s = _ends_s(links, together, update_bits)
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


def _ends_s(links: Sequence[DenseLink | None], together: int, update_bits: int) -> list[float]:
    """When the update of each client with a link is through, s after the grants.

    ``together`` clients share the band in a turn, those without a link too; a turn starts when the one before ended.
    """
    ends_s: list[float] = []
    for first in range(0, len(links), together):
        start_s = max(ends_s, default=0.0)
        ends_s += [start_s + update_bits / found.rate_bps for found in links[first : first + together] if found]
    return ends_s


def dense_reference_of(store: RunStore) -> DenseReference | None:
    """The dense reference of a run; None if the run does not say how large a dense update is."""
    from radio.numerology import numerology_at

    update_bits = store.fact("dense_payload_bits")
    if update_bits is None:
        return None
    played = list(store.rounds())
    barred = {r.round_index: r.barred_rbs for r in played}
    heard: dict[int, dict[str, DenseChannel]] = {}
    for c in store.clients():
        if c.sinr_db:
            channel = DenseChannel(c.sinr_db, c.link_offset_db, barred[c.round_index])
            heard.setdefault(c.round_index, {})[c.client] = channel
    rounds = [DenseRound(r.barrier_s, r.sounding_airtime_s, heard.get(r.round_index, {})) for r in played]
    radio = store.experiment.radio
    rb_total = numerology_at(radio.sample_rate_hz).rb_total
    return dense_reference(rounds, update_bits, rb_total, radio.guard_rb, _link_model(store))


def _link_model(store: RunStore) -> LinkModel:
    """The run's own link adaptation (link tables, offsets, target, power cap)."""
    from radio.fragments import payload_share
    from radio.link_tables import LinkTables
    from radio.modem.mcs import BLOCK_FORMATS, McsTable
    from radio.numerology import numerology_at
    from radio.placed_rates import PowerLimits, placed_rates
    from radio.rates import LinkRule, effective_snr_db

    settings = store.experiment.radio
    tables, schemes = LinkTables.load().of(settings.codec), McsTable.load()
    block_bytes = BLOCK_FORMATS[settings.codec].block_bytes
    share = payload_share(settings.fragment_bytes, block_bytes)
    rule = LinkRule(tables, numerology_at(settings.sample_rate_hz), settings.target_block_error_rate, share)

    def link(channel: DenseChannel, rb_start: int, rb_count: int) -> DenseLink | None:
        rates = placed_rates(rule, channel.sinr_db, PowerLimits(settings.psd_cap_db), channel.offset_db, channel.barred)
        grant = rates.best_within(rb_start, rb_count)
        if grant is None:
            return None
        start, count = grant
        mcs = tables.mcs_names[rates.mcs[count - 1, start]]
        gain_db = float(rates.gain_db[count - 1, start])
        sinr_db = [value + gain_db for value in channel.sinr_db[start : start + count]]
        lost = tables.block_error_rate(mcs, effective_snr_db(sinr_db, mcs) - channel.offset_db)
        air_bits_per_bit = schemes[mcs].block_coded_bits / (8 * block_bytes * share) / (1.0 - lost)
        return DenseLink(float(rates.rate_bps[count - 1, start]), air_bits_per_bit)

    return link
