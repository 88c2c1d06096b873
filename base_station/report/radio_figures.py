"""Figures of the radio: link quality, the map of grants, and pictures of a received round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_station.report.drawing import GRID, INK, MUTED, Canvas, DataTable, Picture, integer_ticks
from base_station.report.run_data import RunData
from base_station.report.series import client_curves, client_table, round_axis
from base_station.store.records import ClientRoundRecord, SignalRecord
from base_station.store.signals import samples
from radio.numerology import Numerology

_MAX_VECTOR_CELLS = 1500
"""More grants than this are drawn as pixels, or the page would grow by megabytes."""
_LABELLED_ROUNDS = 12
_MAX_CONSTELLATIONS = 8
_PSD_BINS = 256
_Curve = tuple[NDArray[np.float64], NDArray[np.float32]]


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


def constellation_figure(data: RunData) -> Picture | None:
    """Equalised data symbols of the last received round; None if nothing was received."""
    kept = [s for s in data.signals if s.kind == "constellation" and s.client in data.styles]
    if not kept:
        return None
    shown = _spread(kept, data)
    columns = max(4, min(len(shown), _MAX_CONSTELLATIONS)) if len(shown) <= 4 else math.ceil(len(shown) / 2)
    rows = math.ceil(len(shown) / columns)
    canvas = Canvas(0.5 + 10.2 / columns * rows, rows, columns)
    evm = {c.client: c.evm_db for c in data.clients if c.round_index == kept[0].round_index}
    reach = max(1.5, *(1.05 * float(np.abs(samples(s).view(np.float32)).max()) for s in shown))
    for axes, signal in zip(canvas.axes, shown, strict=False):
        _constellation(axes, signal, data.styles[signal.client].colour, evm.get(signal.client), reach)
    for axes in canvas.axes[len(shown) :]:
        axes.set_visible(False)
    points = [[s.client, s.label, float(p.real), float(p.imag)] for s in kept for p in samples(s)]
    left_out = (
        f" {len(shown)} of {len(kept)} clients, from the strongest to the weakest." if len(shown) < len(kept) else ""
    )
    return Picture(
        "constellation", f"Received symbols of round {kept[0].round_index}, after equalisation",
        f"Up to 512 data symbols of each client's last burst, with the MCS and the error vector magnitude.{left_out}",
        canvas.svg("constellation", "Constellation diagrams of received data symbols"),
        [DataTable("constellation", ["client", "mcs", "in_phase", "quadrature"], points)],
    )  # fmt: skip


def _spread(kept: Sequence[SignalRecord], data: RunData) -> list[SignalRecord]:
    """At most ``_MAX_CONSTELLATIONS`` of them, evenly from the strongest to the weakest client."""
    if len(kept) <= _MAX_CONSTELLATIONS:
        return list(kept)
    snr = {c.client: c.reference_snr_db for c in data.clients if c.round_index == kept[0].round_index}
    ranked = sorted(kept, key=lambda s: -snr.get(s.client, -math.inf))
    return [ranked[i] for i in np.linspace(0, len(ranked) - 1, _MAX_CONSTELLATIONS).round().astype(int)]


def _constellation(axes: Any, signal: SignalRecord, colour: str, evm_db: float | None, reach: float) -> None:
    points = samples(signal)
    axes.scatter(points.real, points.imag, s=4, color=colour, alpha=0.55, linewidths=0, rasterized=True)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes.set_title(signal.client)
    axes.set_xlabel(signal.label if evm_db is None else f"{signal.label}, EVM {evm_db:.1f} dB")


def spectrum_figure(data: RunData) -> Picture | None:
    """Spectrum of the last received window, and the SINR per RB it came with; None if nothing was kept."""
    psd = next((s for s in data.signals if s.kind == "psd" and len(samples(s)) == _PSD_BINS), None)
    if psd is None:
        return None
    canvas = Canvas(3.3, 1, 3)
    spectrum, channel, sinr = canvas.axes
    spacing_khz = data.experiment.radio.sample_rate_hz / _PSD_BINS / 1e3
    frequency_khz = (np.arange(_PSD_BINS) - _PSD_BINS // 2) * spacing_khz
    present = [c for c in data.clients if c.round_index == psd.round_index]
    for c in (c for c in present if c.air_bits and c.client in data.styles):
        edges_khz = _band_edges_hz(data.numerology, c.rb_start, c.rb_count) / 1e3
        spectrum.axvspan(*edges_khz, color=data.styles[c.client].colour, alpha=0.3, linewidth=0)
    spectrum.plot(frequency_khz, samples(psd), color=INK, linewidth=1.1)
    spectrum.set(title="Power spectral density", xlabel="offset from the carrier, kHz", ylabel="dB per bin")
    gains = _channel_gains(data, present)
    _gain_per_subcarrier(channel, data, gains)
    _sinr_per_rb(sinr, data, present)
    rows = [[float(f), float(v)] for f, v in zip(frequency_khz, samples(psd), strict=True)]
    return Picture(
        "spectrum", f"What the base station received in round {psd.round_index}",
        "Left: the round's first window with data, all granted clients on the air, shaded where each one's grant lies. "
        "Middle: channel estimate of each client's last burst, subcarrier by subcarrier. Right: SINR per resource "
        "block measured from the sounding bursts, as at full band and full power.",
        canvas.svg("spectrum", "Spectrum of the received window, channel gain per subcarrier and SINR per RB"),
        [
            DataTable("spectrum", ["frequency_khz", "psd_db_per_bin"], rows),
            DataTable("channel", ["client", "frequency_khz", "gain_db"],
                      [[name, float(f), float(g)] for name, (khz, db) in gains.items()
                       for f, g in zip(khz, db, strict=True)]),
        ],
        per_client=True,
    )  # fmt: skip


def _band_edges_hz(numerology: Numerology, rb_start: int, rb_count: int) -> NDArray[np.float64]:
    """Lower and upper edge of a grant, half a subcarrier beyond the outermost ones, offset from the carrier, Hz."""
    half_hz = 0.5 * rb_count * numerology.rb_bandwidth_hz
    middle_hz = numerology.centre_hz(rb_start, rb_count) - 0.5 * numerology.subcarrier_spacing_hz
    return np.array([middle_hz - half_hz, middle_hz + half_hz])


def _channel_gains(data: RunData, present: Sequence[ClientRoundRecord]) -> dict[str, _Curve]:
    """Offsets from the carrier, kHz, and channel gain, dB, of the subcarriers of each client's last burst."""
    grants, numerology = {c.client: c for c in present}, data.numerology
    gains = {}
    for signal in (s for s in data.signals if s.kind == "channel" and s.client in grants):
        start, count = grants[signal.client].rb_start, grants[signal.client].rb_count
        loaded = numerology.loaded_subcarriers(start, count) + numerology.centre_subcarrier(start, count)
        gains[signal.client] = loaded * numerology.subcarrier_spacing_hz / 1e3, samples(signal)
    return gains


def _gain_per_subcarrier(axes: Any, data: RunData, gains: dict[str, _Curve]) -> None:
    for name in (name for name in gains if name in data.styles):
        axes.plot(*gains[name], color=data.styles[name].colour, linewidth=1.4)
    axes.set(title="Channel gain per subcarrier", xlabel="offset from the carrier, kHz", ylabel="dB")
    axes.set_xlim(-1e-3 * data.experiment.radio.sample_rate_hz / 2, 1e-3 * data.experiment.radio.sample_rate_hz / 2)


def _sinr_per_rb(axes: Any, data: RunData, present: Sequence[ClientRoundRecord]) -> None:
    for c in (c for c in present if c.sinr_db and c.client in data.styles):
        style = data.styles[c.client]
        axes.plot(range(len(c.sinr_db)), c.sinr_db, color=style.colour, linestyle=style.dash, drawstyle="steps-mid")
    if not any(c.sinr_db for c in present):
        axes.text(0.5, 0.5, "no client was heard", transform=axes.transAxes, ha="center", color=MUTED)
    axes.set(title="SINR per resource block", xlabel="resource block", ylabel="dB", xlim=(-1, data.rb_total))
    integer_ticks(axes.xaxis)
