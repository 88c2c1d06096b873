"""The plan as text and as one HTML page with its plot."""

from __future__ import annotations

from pathlib import Path

import jinja2
import numpy as np

from base_station.planning.terms import RankPlan
from base_station.report.drawing import ACCENT, INK, Canvas, Picture, report_style
from base_station.report.tables import PrintedTable
from protocol.files import write_atomically

PAGE = "plan.html"
_TERMS = (("approximation", ACCENT), ("sparsification", "#e69f00"), ("covariance", "#009e73"))
_COLUMNS = ("Rank", "Gain, nats", "Approximation", "Sparsification", "Covariance", "Score, nats", "V",
            "Mean latency, s", "Queue, s", "Bits granted")  # fmt: skip


def plan_rows(plan: RankPlan) -> list[list[str]]:
    """Cells of the table of candidates; the chosen one is starred."""
    return [
        [f"{c.rank}{' *' if c == plan.best else ''}", f"{c.gain:.3f}", f"{c.approximation:.3f}",
         f"{c.sparsification:.3f}", f"{c.covariance:.3f}", f"{c.score:.3f}", f"{c.V:.3g}", f"{c.mean_latency_s:.3f}",
         f"{c.stationary_queue_s:.2f}", f"{c.mean_bits:,.0f}"]
        for c in plan.candidates
    ]  # fmt: skip


def plan_text(plan: RankPlan) -> str:
    """The table and the choice, for a terminal."""
    rows = [list(_COLUMNS), *plan_rows(plan)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", choice_sentence(plan)])


def choice_sentence(plan: RankPlan) -> str:
    """What the plan says to do, and by how much."""
    best = plan.best
    text = f"lora_rank = {best.rank}, V = {best.V:.3g} at a latency budget of {plan.latency_budget_s:g} s"
    others = sorted(c.score for c in plan.candidates if c != best)
    if others:
        second, worst = (score - best.score for score in (others[0], others[-1]))
        text += f"; the next best rank is expected to lose {second:.3f} nats more, the worst {worst:.3f}"
    return text


def write_page(plan: RankPlan, path: Path) -> Path:
    """Write the page. Raises StorageError."""
    with report_style():
        picture = _figure(plan)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("base_station.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    text = environment.get_template("plan.html.j2").render(
        title=f"Rank plan of {plan.experiment}",
        lead=choice_sentence(plan),
        picture=picture,
        table=PrintedTable(_COLUMNS, plan_rows(plan)),
        note=f"Pilot of {plan.pilot_rounds} rounds on validation texts; gain: by how much its loss fell with every "
        f"update whole. {plan.played_rounds} rounds of the online stage were played on drawn channels.",
    )
    write_atomically(path, text.encode())
    return path


def _figure(plan: RankPlan) -> Picture:
    canvas = Canvas(3.4, 1, 2)
    terms, queue = canvas.axes
    places = np.arange(len(plan.candidates))
    bottom = np.zeros(len(places))
    for name, colour in _TERMS:
        values = np.array([getattr(c, name) for c in plan.candidates])
        terms.bar(places, values, bottom=bottom, color=colour, width=0.62, label=name)
        bottom += values
    best = plan.candidates.index(plan.best)
    terms.annotate("chosen", (best, bottom[best]), ha="center", va="bottom", color=INK, xytext=(0, 3),
                   textcoords="offset points")  # fmt: skip
    terms.set(ylabel="loss of gain, nats", title="Score of each rank")
    terms.legend(loc="best")
    queue.plot(places, [c.V for c in plan.candidates], "o-", color=ACCENT)
    queue.set(ylabel="V, s²", title="V whose queue settles at the budget, or the largest")
    queue.set_yscale("log")
    for axes in canvas.axes:
        axes.set_xticks(places, [str(c.rank) for c in plan.candidates])
        axes.set_xlabel("LoRA rank")
        axes.margins(y=0.12)
    return Picture(
        "plan", "What each rank is expected to cost",
        "Stacked, in nats of the pilot's loss: what the rank cannot express or learns more slowly, what the uplink "
        "leaves unsent, and the bias of averaging factors apart. The least sum is chosen.",
        canvas.svg("plan", "Bars of the three terms by LoRA rank"),
    )  # fmt: skip
