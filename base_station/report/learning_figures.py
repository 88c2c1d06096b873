"""Figures of learning: accuracy against its three costs, training, and the split of the data."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from base_station.report.drawing import ACCENT, INK, MUTED, Canvas, DataTable, Picture, integer_ticks
from base_station.report.palette import ink_on
from base_station.report.run_data import RunData
from base_station.report.series import client_curves, client_table, round_axis, stride

_ANNOTATED_CLIENTS, _ANNOTATED_CLASSES = 12, 30
_ACCURACY_COLUMNS = ("round", "airtime_s", "air_bits", "accuracy", "worst_client_accuracy", "macro_f1")


def accuracy_figure(data: RunData) -> Picture | None:
    """Validation accuracy against rounds, airtime and air bits; None before the first round."""
    if not data.rounds:
        return None
    points = _accuracy_points(data)
    canvas = Canvas(3.1, 1, 3, sharey=True)
    drawn = points[:: stride(len(points))]
    labels = ("round", "airtime, s", "bits on air, Mbit")
    for axes, column, scale, label in zip(canvas.axes, range(3), (1, 1, 1e-6), labels, strict=True):
        _accuracy_curves(axes, [p[column] * scale for p in drawn], drawn)
        _final_accuracy(axes, data, points[-1][column] * scale)
        axes.set_xlabel(label)
    integer_ticks(canvas.axes[0].xaxis)
    canvas.axes[0].set_ylabel("accuracy")
    canvas.axes[0].set_ylim(0, max(1e-3, 1.15 * max(p[3] for p in points)))
    canvas.axes[0].legend(loc="lower right")
    return Picture(
        "accuracy", "Accuracy against rounds, airtime and bits on air",
        f"Validation accuracy of the global model on {data.experiment.experiment.validation_texts} texts after each "
        "round; dashed, weighted by the label mix of the client it serves worst. The bar at the end is the test "
        "accuracy with its 95 % interval.",
        canvas.svg("accuracy", "Validation accuracy rising over rounds, airtime and bits on air"),
        [DataTable("accuracy", _ACCURACY_COLUMNS, points)],
    )  # fmt: skip


def _accuracy_points(data: RunData) -> list[tuple[Any, ...]]:
    """One row of ``_ACCURACY_COLUMNS`` per round, before them the untrained model's if it is known."""
    initial = data.facts.get("initial_accuracy")
    start: list[tuple[Any, ...]] = []
    if initial is not None:
        start.append((data.rounds[0].round_index - 1, 0.0, 0, initial, None, None))
    airtime = accumulate(r.airtime_s for r in data.rounds)
    bits = accumulate(r.air_bits for r in data.rounds)
    return start + [
        (r.round_index, seconds, total, r.accuracy, r.worst_client_accuracy, r.macro_f1)
        for r, seconds, total in zip(data.rounds, airtime, bits, strict=True)
    ]


def _accuracy_curves(axes: Any, x: list[float], points: list[tuple[Any, ...]]) -> None:
    axes.plot(x, [p[3] for p in points], color=ACCENT, marker="o" if len(points) <= 40 else None, label="all clients")
    worst = [(a, p[4]) for a, p in zip(x, points, strict=True) if p[4] is not None]
    axes.plot(*zip(*worst, strict=True), color=MUTED, linewidth=1.2, linestyle="--", label="worst client's labels")


def _final_accuracy(axes: Any, data: RunData, x: float) -> None:
    final, interval = data.facts.get("final_accuracy"), data.facts.get("final_accuracy_interval")
    if final is None:
        return
    low, high = interval or (final, final)
    axes.errorbar(
        [x], [final], [[final - low], [high - final]], color=INK, capsize=4, marker="_", label="test", zorder=4
    )


def training_figure(data: RunData) -> Picture | None:
    """Losses, orthogonality and residuals; None if no client trained."""
    if not data.took_part():
        return None
    canvas = Canvas(3.0, 1, 3)
    loss, overlap, residual = canvas.axes
    client_curves(loss, data, lambda c: c.loss if c.weight > 0 else None)
    loss.plot([r.round_index for r in data.rounds], [r.loss for r in data.rounds], color=INK, label="validation")
    loss.legend(loc="best")
    loss.set(title="Loss", ylabel="cross-entropy, nats")
    _overlap_curves(overlap, data)
    client_curves(residual, data, lambda c: c.residual_energy if c.weight > 0 else None)
    residual.set(title="Residual carried into the round", ylabel="energy of the weight change")
    residual.set_ylim(bottom=0)
    return Picture(
        "training", "Local training, orthogonality and what stays unsent",
        "Left: training loss per client, and the global model's validation loss. Middle: how far the global "
        "adapter's rank components are from orthogonal (0 is orthogonal). Right: the energy each client still holds "
        "back from earlier rounds.",
        canvas.svg("training", "Loss, column overlap and residual energy over rounds"),
        [
            client_table(data, "training_clients", ["loss", "cosine_mean", "cosine_worst", "residual_energy"]),
            DataTable("training_rounds", ["round", "loss", "cosine_mean", "cosine_worst", "covariance_relative"],
                      [[r.round_index, r.loss, r.cosine_mean, r.cosine_worst, r.covariance_relative]
                       for r in data.rounds]),
        ],
        per_client=True,
    )  # fmt: skip


def _overlap_curves(axes: Any, data: RunData) -> None:
    rounds = [r.round_index for r in data.rounds]
    axes.plot(rounds, [r.cosine_worst for r in data.rounds], color=ACCENT, linestyle="--", label="worst module")
    axes.plot(rounds, [r.cosine_mean for r in data.rounds], color=ACCENT, label="mean over modules")
    axes.set(title="Overlap of LoRA columns", ylabel="largest |cosine|")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
    round_axis(axes, data)


def split_figure(data: RunData) -> Picture | None:
    """How many texts of each class each client holds; None if the manifest does not say."""
    histogram: dict[str, list[int]] = data.manifest.get("class_histogram") or {}
    names = [name for name in data.names if name in histogram]
    if not names:
        return None
    counts = np.array([histogram[name] for name in names])
    classes = data.manifest.get("class_names") or [str(i) for i in range(counts.shape[1])]
    canvas = Canvas(1.6 + 0.42 * min(len(names), 8) + 0.12 * max(len(names) - 8, 0))
    axes = canvas.axes[0]
    canvas.colour_bar(_heat_map(axes, counts), axes, "texts")
    _label_cells(axes, [str(c) for c in classes], [f"{n} ({sum(histogram[n])})" for n in names])
    rows = [[name, label, int(n)] for name in names for label, n in zip(classes, histogram[name], strict=True)]
    return Picture(
        "split", "What each client learns from: texts per class",
        f"Partition “{data.experiment.data.partition}”"
        + (f" with alpha = {data.experiment.data.dirichlet_alpha:g}" if data.experiment.data.partition == "dirichlet"
           else "")
        + ". In brackets the client's texts in all.",
        canvas.svg("split", "Heat map of texts per class and client"),
        [DataTable("split", ["client", "class", "texts"], rows)],
    )  # fmt: skip


def _heat_map(axes: Any, counts: NDArray[np.int64]) -> Any:
    """Counts of shape (clients, classes) as shades, written into the cells where there is room; the mesh."""
    largest = max(counts.max(), 1)
    shades = colormaps["Blues"]
    mesh = axes.pcolormesh(counts, cmap=shades, edgecolors="none", vmin=0, vmax=largest)
    if len(counts) <= _ANNOTATED_CLIENTS and counts.shape[1] <= _ANNOTATED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            red, green, blue = (int(255 * v) for v in shades(count / largest)[:3])
            ink = ink_on(f"#{red:02x}{green:02x}{blue:02x}")
            axes.text(column + 0.5, row + 0.5, str(count), ha="center", va="center", fontsize=8, color=ink)
    return mesh


def _label_cells(axes: Any, classes: list[str], clients: list[str]) -> None:
    every = max(1, len(clients) // 32)
    axes.set_xticks(np.arange(len(classes)) + 0.5)
    axes.set_xticklabels(classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(clients))[::every] + 0.5)
    axes.set_yticklabels(clients[::every])
    axes.invert_yaxis()
    axes.grid(False)
    axes.spines[:].set_visible(False)


def stages_figure(data: RunData) -> Picture | None:
    """Wall-clock seconds per stage; None if none was timed."""
    seconds: dict[str, float] = data.summary["stage_seconds"]
    if not seconds:
        return None
    canvas = Canvas(0.8 + 0.3 * len(seconds))
    axes = canvas.axes[0]
    bars = axes.barh(list(seconds), list(seconds.values()), color=ACCENT, height=0.62)
    total = sum(seconds.values())
    labels = [f"{v:.1f} s  ({v / total:.0%})" if total else "0 s" for v in seconds.values()]
    axes.bar_label(bars, labels, padding=5, color=INK, fontsize=8.5)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(False, axis="y")
    axes.set_xlabel("wall-clock seconds, all rounds")
    rows = [[r.round_index, stage, value] for r in data.rounds for stage, value in r.stage_wall_s.items()]
    return Picture(
        "stages", f"Where the {total:.0f} wall-clock seconds went",
        "Time the base station spent in each stage of the round, summed over all rounds. This is the computer's time, "
        "not the modelled time that latencies are counted in.",
        canvas.svg("stages", "Bar chart of wall-clock seconds per stage"),
        [DataTable("stages", ["round", "stage", "wall_s"], rows)],
    )  # fmt: skip
