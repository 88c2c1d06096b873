"""The picture of ``airtune link simulate --plot``: error rates and goodput against SNR, with what they compare to."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from base_station.report.drawing import print_style
from base_station.report.palette import client_styles
from protocol.files import write_atomically
from radio.simulation.results import PointResult, awgn_capacity_bps
from radio.simulation.stock_modem import load_stock_modem

SIZE_IN = (8.5, 8.0)
DPI = 130
LEGEND_COLUMN = 14
"""Curves per column of the legend."""


def save_link_plot(path: Path, curves: Mapping[str, Sequence[PointResult]], title: str) -> None:
    """Write ``curves`` (points of each, by name) in the format the file's name asks for. Raises StorageError."""
    with print_style():
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        errors, goodput = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
        _draw_errors(errors, curves)
        _draw_references(goodput, [point for points in curves.values() for point in points])
        _draw_goodput(goodput, curves)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        image = io.BytesIO()
        figure.savefig(image, dpi=DPI, format=path.suffix[1:].lower())
    write_atomically(path, image.getvalue())


def _draw_errors(axes: Any, curves: Mapping[str, Sequence[PointResult]]) -> None:
    styles = client_styles(list(curves))
    for name, points in curves.items():
        look = styles[name]
        snr_db = [point.snr_db for point in points]
        bursts = [_or_gap(point.burst_error_rate) for point in points]
        blocks = [_or_gap(point.block_error_rate) for point in points]
        axes.plot(snr_db, bursts, color=look.colour, marker=look.marker)
        axes.plot(snr_db, blocks, color=look.colour, linestyle="--", linewidth=1.0)
    least = min(0.5 / point.blocks for points in curves.values() for point in points)
    axes.set_yscale("log")
    axes.set_ylim(least, 1.3)
    axes.set_title("Error rate: bursts (line with marks), blocks (dashed); 0 is not drawn")
    axes.set_ylabel("share lost")
    if not any(point.blocks_lost for points in curves.values() for point in points):
        fewest = min(point.bursts for points in curves.values() for point in points)
        text = f"no burst lost in {fewest} bursts a point: below {1.0 / fewest:.2g}"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")


def _draw_goodput(axes: Any, curves: Mapping[str, Sequence[PointResult]]) -> None:
    styles = client_styles(list(curves))
    for name, points in curves.items():
        look = styles[name]
        rates = [point.goodput_bps / 1e6 for point in points]
        axes.plot([point.snr_db for point in points], rates, color=look.colour, marker=look.marker, label=name)
    axes.set_ylim(bottom=0.0)
    axes.set_title("Goodput")
    axes.set_ylabel("Mbit/s")
    axes.set_xlabel("SNR in the granted bandwidth, dB")
    axes.legend(loc="upper left", ncols=-(-(len(curves) + 2) // LEGEND_COLUMN))


def _draw_references(axes: Any, points: Sequence[PointResult]) -> None:
    """Capacity of the very channel that was simulated, and the stock modem's share of an AWGN channel's."""
    capacity = {point.snr_db: point for point in sorted(points, key=lambda point: point.snr_db)}
    snr_db = list(capacity)
    axes.plot(snr_db, [capacity[x].capacity_bps / 1e6 for x in snr_db], color="#172033", label="Shannon capacity")
    stock = [point for point in load_stock_modem().points if snr_db[0] <= point.snr_db <= snr_db[-1]]
    rates = [point.efficiency * awgn_capacity_bps(points[0].bandwidth_hz, point.snr_db) / 1e6 for point in stock]
    label = "GNU Radio ofdm_tx/rx (AWGN)"
    axes.plot([point.snr_db for point in stock], rates, color="#5b6579", linestyle=":", marker="x", label=label)


def _or_gap(rate: float) -> float:
    """A logarithmic axis has no place for 0."""
    return rate if rate > 0.0 else float("nan")
