"""Figures of SOFT and TSFA at work: sparsity, grants against wishes, queues, latency against its budget; bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from base_station.report.drawing import GRID, INK, MUTED, Canvas, Picture
from base_station.report.run_data import RunData
from base_station.report.series import client_curves, client_table
from base_station.store.records import ClientRoundRecord

BIT_KINDS = ("payload", "headers", "coding", "retransmissions")
_BIT_COLOURS = ("#009e73", "#56b4e9", "#0072b2", "#d55e00")


def allocation_figure(data: RunData) -> Picture | None:
    """Sparsity, share granted, queue and latency per client; None if no client took part."""
    if not data.took_part():
        return None
    canvas = Canvas(6.0, 2, 2)
    sparsity, share, queue, latency = canvas.axes
    client_curves(sparsity, data, lambda c: c.sparsity if c.weight > 0 else None)
    sparsity.set(title="Sparsity", ylabel="share of LoRA values not sent", ylim=(-0.03, 1.03))
    client_curves(share, data, _granted_share)
    share.set(title="Bits granted of bits requested", ylabel="share", ylim=(-0.03, 1.03))
    client_curves(queue, data, lambda c: c.queue_s if c.weight > 0 else None)
    queue.set(title="Virtual latency queue after the round", ylabel="s")
    queue.set_ylim(bottom=0)
    client_curves(latency, data, lambda c: c.latency_s if c.weight > 0 else None)
    _latency_lines(latency, data)
    columns = ["sparsity", "bits_requested", "bits_granted", "queue_s", "latency_predicted_s", "latency_s", "airtime_s"]
    rule = data.experiment.tsfa.allocation
    title, caption = f"Sparsity and latency with the allocation {rule}", ""
    if rule == "tsfa":
        title = "How TSFA trades sparsity against latency"
        caption = "A client that has been slow has a long queue and is granted fewer bits, so its update gets sparser. "
    return Picture(
        "allocation", title,
        f"{caption}Latency is modelled time: computation, sounding and the client's own airtime with retransmissions.",
        canvas.svg("allocation", "Sparsity, granted share, queue and latency of each client over rounds"),
        [client_table(data, "allocation", columns)],
        per_client=True,
    )  # fmt: skip


def _granted_share(record: ClientRoundRecord) -> float | None:
    if record.weight <= 0 or record.bits_requested <= 0:
        return None
    return record.bits_granted / record.bits_requested


def _latency_lines(axes: Any, data: RunData) -> None:
    budget_s, deadline_s = data.experiment.tsfa.latency_budget_s, data.experiment.deadline_s
    rounds = [r.round_index for r in data.rounds]
    axes.axhline(budget_s, color=INK, linewidth=1.6, label="budget")
    latencies = [c.latency_s for c in data.took_part()]
    lowest, highest = min([budget_s, *latencies]), max([budget_s, *latencies])
    if highest > 0.6 * deadline_s:
        axes.axhline(deadline_s, color=INK, linewidth=1.2, linestyle=":", label="deadline")
    axes.plot(rounds, [r.barrier_s for r in data.rounds], color=MUTED, linewidth=1.2, linestyle="--", label="barrier")
    axes.set(title="Realised latency", ylabel="s", ylim=(0.85 * lowest, 1.1 * highest))
    axes.legend(loc="lower right", ncols=4)


def bit_parts(records: Sequence[ClientRoundRecord]) -> dict[str, int]:
    """Bits on air by kind; the kinds add up to ``air_bits``."""
    parts = {
        "headers": sum(c.header_bits for c in records),
        "coding": sum(c.coding_bits for c in records),
        "retransmissions": sum(c.retransmission_bits for c in records),
    }
    total = sum(c.air_bits for c in records)
    return {"payload": total - sum(parts.values()), **parts}


def bits_figure(data: RunData) -> Picture | None:
    """What the bits on air were spent on, per client; None if nothing was sent."""
    if not any(c.air_bits for c in data.clients):
        return None
    parts = {name: bit_parts(data.of_client(name)) for name in data.names}
    canvas = Canvas(1.1 + 0.34 * min(len(parts), 8) + 0.14 * max(len(parts) - 8, 0))
    axes = canvas.axes[0]
    left = [0.0] * len(parts)
    for kind, colour in zip(BIT_KINDS, _BIT_COLOURS, strict=True):
        width = [p[kind] / 1e6 for p in parts.values()]
        axes.barh(list(parts), width, left=left, color=colour, height=0.66, label=kind, edgecolor=GRID, linewidth=0.4)
        left = [a + b for a, b in zip(left, width, strict=True)]
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(y=0.01)
    axes.set_xlabel("bits on air, all rounds, Mbit")
    if len(parts) > 16:
        axes.set_yticks(range(0, len(parts), math.ceil(len(parts) / 16)))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    columns = ["payload_bits", "delivered_bits", "header_bits", "coding_bits", "retransmission_bits", "air_bits"]
    return Picture(
        "bits", "What the bits on air were spent on",
        "Payload: the updates themselves, as first sent. Headers: fragment headers, tags and padding. Coding: block "
        "CRCs, the channel code's redundancy and what fills the last OFDM symbol. Retransmissions: everything sent "
        "after the first pass.",
        canvas.svg("bits", "Stacked bars of bits on air per client and kind"),
        [client_table(data, "bits", columns)],
    )  # fmt: skip
