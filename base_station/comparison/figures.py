"""Figures of a comparison: accuracy against rounds and airtime, and what each method ends with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_station.comparison.measures import RunCurve, Yardstick
from base_station.comparison.table import Comparison, MethodRow
from base_station.report.drawing import INK, MUTED, Canvas, Picture, integer_ticks
from base_station.report.palette import ClientStyle

Styles = dict[str, ClientStyle]
_AIRTIMES = 200
"""Points of a curve against airtime."""
_BESIDE = 0.28
"""How far below its mean a method's runs are drawn: on the bar they could not be seen."""


def curves_figure(comparison: Comparison, styles: Styles) -> Picture | None:
    """Validation accuracy of each method against rounds and airtime; None if no run has a round."""
    rows = [row for row in comparison.rows if any(run.validation for run in row.runs)]
    if not rows:
        return None
    canvas = Canvas(4.2, 1, 2, sharey=True)
    rounds, airtime = canvas.axes
    for row in rows:
        runs = [run for run in row.runs if run.validation]
        _band(rounds, styles[row.name], *_by_round(runs))
        _band(airtime, styles[row.name], *_by_airtime(runs))
    for axes in canvas.axes:
        if comparison.yardstick.target is not None:
            axes.axhline(comparison.yardstick.target, color=MUTED, linewidth=0.9, linestyle=":")
        axes.set_ylim(bottom=0)
    rounds.set(xlabel="round", ylabel="validation accuracy")
    airtime.set(xlabel="airtime, s")
    integer_ticks(rounds.xaxis)
    return Picture(
        "accuracy", "Accuracy against rounds and against airtime",
        "Mean over seeds, shaded from the lowest to the highest; each point is the mean of the last three rounds. "
        "Dotted: the target. A curve against airtime ends where the first of its runs does.",
        canvas.svg("accuracy", "Validation accuracy of each method over rounds and airtime"),
        per_client=True,
    )  # fmt: skip


def _by_round(runs: Sequence[RunCurve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rounds (T,) that all runs have, and smoothed accuracy (runs, T)."""
    length = min(len(run.validation) for run in runs)
    return np.arange(1.0, length + 1.0), np.array([run.smoothed[:length] for run in runs])


def _by_airtime(runs: Sequence[RunCurve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Airtimes (P,) that all runs have come to, and smoothed accuracy there, (runs, P)."""
    first = max(run.airtime_s[0] for run in runs)
    last = min(run.airtime_s[-1] for run in runs)
    grid = np.linspace(first, max(first, last), _AIRTIMES)
    return grid, np.array([np.interp(grid, run.airtime_s, run.smoothed) for run in runs])


def _band(axes: Any, style: ClientStyle, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    axes.plot(x, y.mean(axis=0), color=style.colour, linestyle=style.dash)
    if len(y) > 1:
        axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=style.colour, alpha=0.15, linewidth=0)


def closing_figure(comparison: Comparison, styles: Styles) -> Picture:
    """Test accuracy, airtime and latency against the budget of every method, with 95 % intervals."""
    rows = comparison.rows
    canvas = Canvas(1.3 + 0.34 * len(rows), 1, 3, sharey=True)
    for axes, key, label in zip(
        canvas.axes, ("accuracy", "airtime_s", "latency_over_budget"),
        ("test accuracy", "airtime, s", "mean latency / budget"), strict=True,
    ):  # fmt: skip
        for place, row in enumerate(rows):
            _dot(axes, place, row, key, styles[row.name])
        axes.set_xlabel(label)
        axes.grid(False, axis="y")
    canvas.axes[1].set_xlim(left=0)
    canvas.axes[2].axvline(1.0, color=INK, linewidth=0.9, linestyle="--")
    first = canvas.axes[0]
    first.set_yticks(range(len(rows)), [row.name for row in rows])
    first.set_ylim(len(rows) - 0.5, -0.5)
    return Picture(
        "closing", "What each method ends with",
        "Dots: mean over seeds, small ones the runs; bars: 95 % intervals. Dashed: the latency budget.",
        canvas.svg("closing", "Test accuracy, airtime and latency of each method"),
    )  # fmt: skip


def _dot(axes: Any, place: int, row: MethodRow, key: str, style: ClientStyle) -> None:
    cell = next(cell for cell in row.cells if cell.measure.key == key)
    if cell.mean is None:
        return
    values = [value for run in row.runs if (value := run.values(Yardstick(None, None))[key]) is not None]
    axes.plot(values, [place + _BESIDE] * len(values), ".", color=style.colour, alpha=0.6)
    half = 0.0 if math.isnan(cell.mean.low) else cell.mean.half_width
    axes.errorbar(cell.mean.mean, place, xerr=half, fmt=style.marker, color=style.colour, capsize=3)
