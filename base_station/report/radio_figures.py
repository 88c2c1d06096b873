"""Figures of the radio over the rounds: link quality and the map of grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from base_station.report.drawing import GRID, INK, MUTED, Canvas, DataTable, Picture
from base_station.report.run_data import RunData
from base_station.report.series import client_curves, client_table, round_axis
from base_station.store.records import ClientRoundRecord

_MAX_VECTOR_CELLS = 1500
"""More grants than this are drawn as pixels, or the page would grow by megabytes."""
_LABELLED_ROUNDS = 12


def link_figure(data: RunData) -> Picture | None:
    """SNR and channel gain per client over the rounds; None if no client was heard."""
    if not any(c.sinr_db for c in data.clients):
        return None
    canvas = Canvas(3.2, 1, 2)
    snr, gain = canvas.axes
    client_curves(snr, data, lambda c: c.reference_snr_db if c.sinr_db else None)
    snr.set(title="Reference SNR", ylabel="dB (full band, full power)")
    client_curves(gain, data, lambda c: c.gain_db if c.sinr_db else None)
    gain.set(title="Channel gain", ylabel="dB, mean over RBs")
    return Picture(
        "link", "SNR and channel gain of each client, measured from its sounding burst",
        "Every round has its own fade. A gap is a round in which the client was not heard.",
        canvas.svg("link", "SNR and gain of each client over rounds"),
        [
            client_table(data, "link", ["reference_snr_db", "gain_db", "evm_db", "cfo_hz", "mcs", "tx_gain_db"]),
            DataTable("link_sinr", ["round", "client", "rb", "sinr_db"],
                      [[c.round_index, c.client, rb, v] for c in data.clients for rb, v in enumerate(c.sinr_db)]),
        ],
        per_client=True,
    )  # fmt: skip


def grant_map_figure(data: RunData) -> Picture | None:
    """Who had which RBs in which round; None if nobody was granted any."""
    granted = [c for c in data.clients if c.rb_count > 0]
    if not granted:
        return None
    canvas = Canvas(3.9)
    axes = canvas.axes[0]
    guards = _guards(granted, data.experiment.radio.guard_rb)
    _fill_map(axes, data, granted, guards)
    if len(data.rounds) <= _LABELLED_ROUNDS:
        _label_grants(axes, data, granted)
    axes.set_ylim(0, data.rb_total)
    axes.set_xlim(data.rounds[0].round_index - 0.6, data.rounds[-1].round_index + 0.6)
    axes.set_ylabel("resource block")
    axes.grid(False)
    round_axis(axes, data)
    rows = [[c.round_index, c.client, c.rb_start, c.rb_count, c.mcs] for c in granted]
    return Picture(
        "grants", "Who was granted which resource blocks, round by round",
        f"One column per round, {data.rb_total} resource blocks of 62.5 kHz from the band's lower edge up. Hatched: "
        "guard blocks between grants; crossed: blocks barred for interference; empty: not used.",
        canvas.svg("grants", "Map of resource blocks over rounds, coloured by client"),
        [
            DataTable("grants", ["round", "client", "rb_start", "rb_count", "mcs"], rows),
            DataTable("grants_guards", ["round", "rb_start", "rb_count"], guards),
        ],
        per_client=True,
    )  # fmt: skip


def _fill_map(
    axes: Any, data: RunData, granted: Sequence[ClientRoundRecord], guards: Sequence[tuple[int, int, int]]
) -> None:
    """Grants, guards and barred RBs as bars."""
    pixels = len(granted) + len(data.rounds) > _MAX_VECTOR_CELLS
    width = 0.94 if len(data.rounds) <= 60 else 1.0
    for name in data.names:
        own = [(c.round_index, c.rb_start, c.rb_count) for c in granted if c.client == name]
        _blocks(axes, own, width, pixels, color=data.styles[name].colour)
    _blocks(axes, guards, width, pixels, facecolor=GRID, edgecolor=MUTED, linewidth=0, hatch="////")
    barred = [(r.round_index, rb, 1) for r in data.rounds for rb in r.barred_rbs]
    _blocks(axes, barred, width, pixels, facecolor="none", edgecolor=INK, linewidth=0, hatch="xxxx")


def _blocks(axes: Any, cells: Sequence[tuple[int, int, int]], width: float, pixels: bool, **look: Any) -> None:
    """Bars of (round, first RB, RBs)."""
    if cells:
        rounds, starts, counts = zip(*cells, strict=True)
        axes.bar(rounds, counts, width, starts, rasterized=pixels, **look)


def _guards(granted: Sequence[ClientRoundRecord], guard_rb: int) -> list[tuple[int, int, int]]:
    """(round, first RB, RBs) of the guard above every grant but the highest of its round."""
    by_round: dict[int, list[ClientRoundRecord]] = {}
    for record in granted:
        by_round.setdefault(record.round_index, []).append(record)
    return [
        (t, c.rb_start + c.rb_count, guard_rb)
        for t, grants in by_round.items()
        for c in sorted(grants, key=lambda c: c.rb_start)[:-1]
        if guard_rb > 0
    ]


def _label_grants(axes: Any, data: RunData, granted: Sequence[ClientRoundRecord]) -> None:
    for c in (c for c in granted if c.rb_count > 1):
        style = data.styles.get(c.client)
        if style is not None:
            axes.text(c.round_index, c.rb_start + c.rb_count / 2, c.mcs, ha="center", va="center", fontsize=7.5,
                      color=style.ink)  # fmt: skip
