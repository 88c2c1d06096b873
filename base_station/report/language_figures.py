"""The figure that only language models have: perplexity against what it costs."""

from __future__ import annotations

from itertools import accumulate

from base_station.report.drawing import ACCENT, INK, Canvas, DataTable, Picture, integer_ticks
from base_station.report.run_data import RunData
from base_station.report.series import stride
from base_station.store.language import models_language, perplexity

_COLUMNS = ("round", "airtime_s", "air_bits", "perplexity")
_LABELS = ("round", "airtime, s", "bits on air, Mbit")


def perplexity_figure(data: RunData) -> Picture | None:
    """Validation perplexity against rounds, airtime and air bits; None before the first round and for other tasks."""
    if not data.rounds or not models_language(data.experiment):
        return None
    points = _points(data)
    drawn = points[:: stride(len(points))]
    canvas = Canvas(2.8, 1, 3, sharey=True)
    final = data.summary["final_perplexity"]
    for axes, column, scale, label in zip(canvas.axes, range(3), (1, 1, 1e-6), _LABELS, strict=True):
        axes.plot(
            [p[column] * scale for p in drawn], [p[3] for p in drawn], color=ACCENT, marker="o", label="validation"
        )
        if final is not None:
            axes.plot(
                points[-1][column] * scale, final, color=INK, marker="_", linestyle="", label="test", markersize=12
            )
        axes.set_xlabel(label)
    integer_ticks(canvas.axes[0].xaxis)
    canvas.axes[0].set_yscale("log")
    canvas.axes[0].set_ylabel("perplexity")
    canvas.axes[0].legend(loc="best")
    return Picture(
        "perplexity", "Perplexity against rounds, airtime and bits on air",
        f"Perplexity per token of the global model on {data.experiment.experiment.validation_texts} validation texts "
        "after each round; the bar at the end is that of the test texts. Accuracies of this run are shares of tokens.",
        canvas.svg("perplexity", "Validation perplexity falling over rounds, airtime and bits on air"),
        [DataTable("perplexity", _COLUMNS, points)],
    )  # fmt: skip


def _points(data: RunData) -> list[tuple[int, float, int, float]]:
    """One row of ``_COLUMNS`` per round, before them the untrained model's if it is known."""
    initial = data.summary["initial_perplexity"]
    start = [] if initial is None else [(data.rounds[0].round_index - 1, 0.0, 0, initial)]
    airtime = accumulate(r.airtime_s for r in data.rounds)
    bits = accumulate(r.air_bits for r in data.rounds)
    return start + [
        (r.round_index, seconds, total, perplexity(r.loss))
        for r, seconds, total in zip(data.rounds, airtime, bits, strict=True)
    ]
