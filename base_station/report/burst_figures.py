"""Figures of the last received round: each client's last data burst, and the window it was heard in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from base_station.report.burst_panels import (
    bin_frequencies_khz,
    constellation_reach,
    draw_constellation,
    draw_soft_bits,
    draw_spectrum,
)
from base_station.report.drawing import MUTED, Canvas, DataTable, Picture, integer_ticks
from base_station.report.received import ReceivedBurst
from base_station.report.run_data import RunData
from base_station.store.records import ClientRoundRecord
from base_station.store.signals import unpacked
from protocol.bursts import SOFT_BIT_BINS, SOFT_BIT_REACH

_MOST_PANELS = 8


def constellation_figure(data: RunData) -> Picture | None:
    """Equalised data symbols of the last received round; None if nothing was received."""
    shown = _shown(data)
    if not shown:
        return None
    reach = constellation_reach(shown)

    def draw(axes: Any, burst: ReceivedBurst) -> None:
        draw_constellation(axes, burst, data.styles[burst.record.client].colour, reach)
        axes.set_xlabel(f"{burst.record.mcs}, EVM {burst.record.evm_db:.1f} dB")

    points = [[b.record.client, b.record.mcs, float(p.real), float(p.imag)] for b in data.bursts for p in b.points]
    return Picture(
        "constellation", f"Received symbols of round {shown[0].record.round_index}, after equalisation",
        "Up to 256 data symbols of each client's last burst, with the MCS and the error vector magnitude. Crosses: "
        f"where the symbols were sent.{_left_out(data, shown)}",
        _panels(shown, draw, 10.2, 0.5, "constellation", "Constellation diagrams of received data symbols"),
        [DataTable("constellation", ["client", "mcs", "in_phase", "quadrature"], points)],
    )  # fmt: skip


def soft_bits_figure(data: RunData) -> Picture | None:
    """Soft bits of the same bursts; None if nothing was received."""
    shown = _shown(data)
    if not shown:
        return None

    def draw(axes: Any, burst: ReceivedBurst) -> None:
        draw_soft_bits(axes, burst.soft_bits, data.styles[burst.record.client].colour)
        axes.set_xlabel(f"{burst.record.blocks_failed} of {burst.record.blocks} blocks failed")
        axes.set_yticks([])

    step = 2.0 * SOFT_BIT_REACH / SOFT_BIT_BINS
    rows = [
        [b.record.client, -SOFT_BIT_REACH + i * step, -SOFT_BIT_REACH + (i + 1) * step, count]
        for b in data.bursts
        for i, count in enumerate(b.soft_bits)
    ]
    return Picture(
        "soft_bits", "How sure the receiver was of each bit, before decoding",
        "Share of soft bits, the logarithm of P(0) / P(1), in the same bursts; the outermost bars hold everything "
        f"beyond {SOFT_BIT_REACH:g}. A burst whose soft bits crowd around zero cannot be decoded by itself.",
        _panels(shown, draw, 5.0, 0.5, "soft_bits", "Histograms of soft bits"),
        [DataTable("soft_bits", ["client", "from", "to", "count"], rows)],
    )  # fmt: skip


def spectrum_figure(data: RunData) -> Picture | None:
    """Spectrum, channel estimates and SINR per RB of the last received round; None if nothing was kept."""
    if data.spectrum is None:
        return None
    canvas = Canvas(3.3, 1, 3)
    spectrum, channel, sinr = canvas.axes
    psd_db = unpacked("psd", data.spectrum.psd)
    present = [c for c in data.clients if c.round_index == data.spectrum.round_index]
    sent = [c for c in present if c.air_bits and c.client in data.styles]
    shades = [(c.rb_start, c.rb_count, data.styles[c.client].colour, 0.3) for c in sent]
    draw_spectrum(spectrum, psd_db, data.numerology, shades)
    _gain_per_subcarrier(channel, data)
    _sinr_per_rb(sinr, data, present)
    frequencies_khz = bin_frequencies_khz(len(psd_db), data.numerology)
    return Picture(
        "spectrum", f"What the base station received in round {data.spectrum.round_index}",
        "Left: the round's first window with data, all granted clients on the air, shaded where each one's grant lies. "
        "Middle: channel estimate of each client's last burst, subcarrier by subcarrier. Right: SINR per resource "
        "block measured from the sounding bursts, as at full band and full power.",
        canvas.svg("spectrum", "Spectrum of the received window, channel gain per subcarrier and SINR per RB"),
        [
            DataTable("spectrum", ["frequency_khz", "psd_db_per_bin"], np.stack([frequencies_khz, psd_db], 1).tolist()),
            DataTable("channel", ["client", "frequency_khz", "gain_db"],
                      [[b.record.client, float(f), float(g)] for b in data.bursts
                       for f, g in zip(b.frequencies_khz(data.numerology), b.channel_db, strict=True)]),
        ],
        per_client=True,
    )  # fmt: skip


def _shown(data: RunData) -> list[ReceivedBurst]:
    """At most ``_MOST_PANELS`` bursts with symbols, evenly from the strongest to the weakest client."""
    known = [b for b in data.bursts if b.record.client in data.styles and len(b.points)]
    if len(known) <= _MOST_PANELS:
        return known
    ranked = sorted(known, key=lambda b: -b.record.snr_db)
    return [ranked[i] for i in np.linspace(0, len(ranked) - 1, _MOST_PANELS).round().astype(int)]


def _left_out(data: RunData, shown: Sequence[ReceivedBurst]) -> str:
    if len(data.bursts) <= _MOST_PANELS:
        return ""
    return f" {len(shown)} of {len(data.bursts)} clients, from the strongest to the weakest."


def _panels(
    shown: Sequence[ReceivedBurst], draw: Callable[[Any, ReceivedBurst], None], width_in: float, margin_in: float,
    name: str, description: str,
) -> str:  # fmt: skip
    """One drawing per burst, at most two rows; ``width_in`` over the columns is the height of a row."""
    columns = 4 if len(shown) <= 4 else math.ceil(len(shown) / 2)
    rows = math.ceil(len(shown) / columns)
    canvas = Canvas((margin_in + width_in / columns) * rows, rows, columns)
    for axes, burst in zip(canvas.axes, shown, strict=False):
        draw(axes, burst)
        axes.set_title(burst.record.client)
    for axes in canvas.axes[len(shown) :]:
        axes.set_visible(False)
    return canvas.svg(name, description)


def _gain_per_subcarrier(axes: Any, data: RunData) -> None:
    for burst in (b for b in data.bursts if b.record.client in data.styles):
        colour = data.styles[burst.record.client].colour
        axes.plot(burst.frequencies_khz(data.numerology), burst.channel_db, color=colour, linewidth=1.4)
    axes.set(title="Channel gain per subcarrier", xlabel="offset from the carrier, kHz", ylabel="dB")
    half_khz = data.numerology.sample_rate_hz / 2e3
    axes.set_xlim(-half_khz, half_khz)


def _sinr_per_rb(axes: Any, data: RunData, present: Sequence[ClientRoundRecord]) -> None:
    for c in (c for c in present if c.sinr_db and c.client in data.styles):
        style = data.styles[c.client]
        axes.plot(range(len(c.sinr_db)), c.sinr_db, color=style.colour, linestyle=style.dash, drawstyle="steps-mid")
    if not any(c.sinr_db for c in present):
        axes.text(0.5, 0.5, "no client was heard", transform=axes.transAxes, ha="center", color=MUTED)
    axes.set(title="SINR per resource block", xlabel="resource block", ylabel="dB", xlim=(-1, data.rb_total))
    integer_ticks(axes.xaxis)
