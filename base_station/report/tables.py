"""The report's tables and headline figures, as text ready to print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from base_station.report.drawing import DataTable
from base_station.report.run_data import RunData
from base_station.report.tsfa_figures import BIT_KINDS, bit_parts
from base_station.store.language import models_language, perplexity
from base_station.store.records import BurstRecord, ClientRoundRecord
from protocol.configuration import ClientTable

DASH = "–"


@dataclass(frozen=True)
class Headline:
    """One large figure at the top: what, how much, and the small print under it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class PrintedTable:
    """A table on the page. ``client_column``: its first column names clients and carries their colour."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    client_column: bool = False
    total: Sequence[str] | None = None


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """``1,234.50 s``; a dash if unknown."""
    return DASH if value is None else f"{value:,.{digits}f}{' ' if unit else ''}{unit}".replace("-", "−")


def bits(value: float | None) -> str:
    """Bits in the unit that keeps three figures."""
    if value is None:
        return DASH
    for size, unit in ((1e9, "Gbit"), (1e6, "Mbit"), (1e3, "kbit")):
        if abs(value) >= size:
            return f"{value / size:,.2f} {unit}"
    return f"{value:,.0f} bit"


def headlines(data: RunData) -> list[Headline]:
    """The figures a reader came for."""
    summary, dense = data.summary, data.summary["dense_reference"]
    language = [_perplexity_headline(data)] if models_language(data.experiment) else []
    sparsity = [c.sparsity for c in data.took_part()]
    latency_s, budget_s = summary["mean_latency_s"], summary["latency_budget_s"]
    return [
        *language,
        _accuracy_headline(data),
        Headline("Airtime", number(summary["airtime_s"], 2, "s"), _against(dense, "airtime_s", summary["airtime_s"])),
        Headline("Bits on air", bits(summary["uplink_air_bits"]),
                 f"{bits(summary['uplink_payload_bits'])} delivered payload"),
        Headline("Mean latency", number(latency_s, 2, "s"),
                 f"budget {budget_s:g} s" + (f" ({latency_s / budget_s:.0%} used)" if latency_s is not None else "")),
        Headline("Mean sparsity", number(_mean(sparsity), 2), "share of LoRA values not sent"),
        Headline("Rounds", f"{summary['rounds']} of {data.experiment.experiment.rounds}", f"{len(data.names)} clients"),
    ]  # fmt: skip


def _accuracy_headline(data: RunData) -> Headline:
    final, interval = data.summary["final_accuracy"], data.summary["final_accuracy_interval"]
    initial = data.summary["initial_accuracy"]
    before = f"from {initial:.3f}; " if initial is not None else ""
    if final is not None:
        around = f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "test texts"
        return Headline("Test accuracy", f"{final:.3f}", before + around)
    last = data.rounds[-1].accuracy if data.rounds else None
    return Headline("Validation accuracy", number(last, 3), before + "not tested yet")


def _perplexity_headline(data: RunData) -> Headline:
    final, initial = data.summary["final_perplexity"], data.summary["initial_perplexity"]
    before = f"from {initial:.2f} before training" if initial is not None else ""
    if final is not None:
        return Headline("Test perplexity", f"{final:.2f}", f"{before}; accuracies are of single tokens".lstrip("; "))
    last = perplexity(data.rounds[-1].loss) if data.rounds else None
    return Headline("Validation perplexity", number(last, 2), f"{before}; not tested yet".lstrip("; "))


def _against(dense: dict[str, Any] | None, key: str, ours: float) -> str:
    if dense is None or not dense["served"] or not ours:
        return ""
    return f"dense LoRA: {dense[key]:.2f} s ({dense[key] / ours:.1f} times)"


def bits_table(data: RunData) -> tuple[PrintedTable, DataTable]:
    """Bits per client and kind with their total."""
    columns = ["client", "update", "delivered", *BIT_KINDS, "on air"]

    def line(records: Sequence[ClientRoundRecord]) -> list[int]:
        parts = bit_parts(records)
        encoded, delivered = sum(c.payload_bits for c in records), sum(c.delivered_bits for c in records)
        return [encoded, delivered, *(parts[kind] for kind in BIT_KINDS), sum(c.air_bits for c in records)]

    lines = {name: line(data.of_client(name)) for name in data.names}
    total = line(data.clients)
    printed = PrintedTable(
        columns, [[name, *map(bits, values)] for name, values in lines.items()], True, ["all", *map(bits, total)]
    )
    rows = [[name, *values] for name, values in [*lines.items(), ("all", total)]]
    keys = ["client", "encoded_bits", "delivered_bits", *(f"{kind}_bits" for kind in BIT_KINDS), "air_bits"]
    return printed, DataTable("bits_total", keys, rows)


def clients_table(data: RunData) -> PrintedTable:
    """What became of every client."""
    columns = ["client", "where", "texts", "SNR", "gain", "EVM", "airtime", "latency", "sparsity", "repeated passes",
               "blocks failed", "bursts missed", "forged", "residual", "energy sent", "rounds"]  # fmt: skip
    totals = {entry["name"]: entry for entry in data.summary["clients"]}
    rows = []
    for member in data.experiment.clients.members:
        records = data.of_client(member.name)
        total = totals[member.name]
        evm = [c.evm_db for c in records if c.evm_db is not None]
        sent, failed = sum(c.blocks_sent for c in records), sum(c.blocks_failed for c in records)
        rows.append([
            member.name,
            _place(member),
            number(max((c.samples for c in records), default=None), 0),
            number(total["mean_snr_db"], 1, "dB"), number(total["mean_gain_db"], 1, "dB"), number(_mean(evm), 1, "dB"),
            number(sum(c.airtime_s for c in records), 2, "s"),
            number(_mean([c.latency_s for c in records if c.weight > 0]), 2, "s"),
            number(total["mean_sparsity"], 2), str(total["retransmissions"]),
            f"{failed / sent:.1%}" if sent else DASH, str(total["bursts_missed"]), str(total["fragments_forged"]),
            DASH if total["residual_energy"] is None else f"{total['residual_energy']:.3g}",
            f"{1e3 * sum(c.transmit_energy_j for c in records):.3g} mJ",
            ", ".join(f"{count} {state}" for state, count in Counter(c.state for c in records).items()) or DASH,
        ])  # fmt: skip
    return PrintedTable(columns, rows, True)


def _place(member: ClientTable) -> str:
    """Where a client is, as far as its experiment says."""
    if member.distance_m is not None:
        return f"{member.distance_m:g} m"
    return f"{member.mean_snr_db:g} dB set" if member.mean_snr_db is not None else DASH


def last_bursts_table(data: RunData) -> PrintedTable:
    """What became of the bursts in the pictures: each client's last one."""
    columns: dict[str, Callable[[BurstRecord], str]] = {
        "client": lambda b: b.client, "round": lambda b: str(b.round_index), "window": lambda b: str(b.window_index),
        "pass": lambda b: str(b.pass_index + 1), "MCS": lambda b: b.mcs,
        "RBs": lambda b: f"{b.rb_start} to {b.rb_start + b.rb_count - 1}",
        "carrier offset": lambda b: number(b.cfo_hz, 1, "Hz"), "SNR": lambda b: number(b.snr_db, 1, "dB"),
        "EVM": lambda b: number(b.evm_db, 1, "dB"), "blocks": lambda b: str(b.blocks),
        "failed": lambda b: str(b.blocks_failed), "combined": lambda b: str(b.blocks_combined),
        "on air": lambda b: bits(b.air_bits),
    }  # fmt: skip
    rows = [[show(burst.record) for show in columns.values()] for burst in data.bursts]
    return PrintedTable(list(columns), rows, True)


def rounds_table(data: RunData) -> PrintedTable:
    """One line per round."""
    told: dict[str, Callable[[Any], str]] = {"macro-F1": lambda r: number(r.macro_f1, 3)}
    if models_language(data.experiment):
        told = {"perplexity": lambda r: number(perplexity(r.loss), 2)}
    columns: dict[str, Callable[[Any], str]] = {
        "round": lambda r: str(r.round_index), "ready": lambda r: str(r.clients_ready),
        "accuracy": lambda r: number(r.accuracy, 3), "worst client": lambda r: number(r.worst_client_accuracy, 3),
        **told, "loss": lambda r: number(r.loss, 3),
        "airtime": lambda r: number(r.airtime_s, 2, "s"), "on air": lambda r: bits(r.air_bits),
        "downlink": lambda r: bits(r.downlink_bits), "barrier": lambda r: number(r.barrier_s, 2, "s"),
        "latency": lambda r: number(r.latency_s, 2, "s"),
        "gap": lambda r: "exact" if r.exact else f"{r.gap:.1e}",
        "solved in": lambda r: f"{1e3 * r.solve_wall_s:.0f} ms",
        "covariance": lambda r: f"{r.covariance_relative:.2f}",
        "additive / exact": lambda r: f"{r.additive_over_exact:.2f}",
        "note": lambda r: r.note,
    }  # fmt: skip
    return PrintedTable(list(columns), [[show(r) for show in columns.values()] for r in data.rounds])


def dense_table(data: RunData) -> tuple[PrintedTable, DataTable] | None:
    """The run beside dense LoRA on the same channels; None if there is nothing to compare."""
    dense = data.summary["dense_reference"]
    if dense is None or not dense["served"]:
        return None
    pairs: list[tuple[str, str, float, Callable[[float | None], str]]] = [
        ("airtime", "airtime_s", data.summary["airtime_s"], lambda v: number(v, 2, "s")),
        ("bits on air", "air_bits", data.summary["uplink_air_bits"], bits),
        ("payload", "payload_bits", data.summary["uplink_payload_bits"], bits),
        ("mean latency", "mean_latency_s", data.summary["mean_latency_s"], lambda v: number(v, 2, "s")),
    ]  # fmt: skip
    rows = [
        [label, show(ours), show(dense[key]), f"{dense[key] / ours:.1f} times" if ours and dense[key] else DASH]
        for label, key, ours, show in pairs
    ]
    return (
        PrintedTable(["", "this run", "dense LoRA", "dense over this run"], rows),
        DataTable("dense_reference", ["figure", "this_run", "dense"], [[k, ours, dense[k]] for _, k, ours, _ in pairs]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
