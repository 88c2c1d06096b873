"""A comparison as text: its cells in words, as LaTeX and as CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from base_station.comparison.measures import MEASURES
from base_station.comparison.statistics import Interval
from base_station.comparison.table import Cell, Comparison, MethodRow
from base_station.store.export import write_csv
from protocol.files import write_atomically

DASH = "–"
_COUNTED = ("rounds_to_target", "airtime_to_target_s", "plateau_accuracy")
"""Measures that a run may not reach: how many did is told even if none."""
_LATEX = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "|": r"$|$", "\\": r"\textbackslash{}"}  # fmt: skip


def headings(rows: Sequence[MethodRow]) -> list[str]:
    """Titles of the rows' measures with their units."""
    measures = [cell.measure for cell in rows[0].cells]
    return [m.title + (f", {m.unit}" if m.unit else "") for m in measures]


def mean_text(cell: Cell) -> str:
    """``0.712 ± 0.010`` and, where some runs have no value, how many have."""
    if cell.mean is None:
        return DASH if cell.measure.key not in _COUNTED else f"{DASH} (0 of {cell.runs})"
    text = f"{cell.mean.mean / cell.measure.per:.{cell.measure.digits}f}"
    if not math.isnan(cell.mean.low):
        text += f" ± {cell.mean.half_width / cell.measure.per:.{cell.measure.digits}f}"
    return text if cell.mean.values == cell.runs else f"{text} ({cell.mean.values} of {cell.runs})"


def against_text(cell: Cell) -> str:
    """Difference in points (``+1.2 [+0.3, +2.1] higher``) or ratio (``0.52 x [0.50, 0.54] lower``); a dash if none.

    Where not all runs are in it, how many are.
    """
    if cell.against is None:
        return DASH
    text = _difference(cell.against) if cell.measure.share else _ratio(cell.against)
    pairs = "" if cell.against.values == cell.runs else f"({cell.against.values} of {cell.runs})"
    return " ".join(filter(None, [text, cell.verdict, pairs]))


def _difference(interval: Interval) -> str:
    mean, low, high = (100.0 * v for v in interval[:3])
    return f"{mean:+.1f}" if math.isnan(low) else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _ratio(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.mean:.2f} x"
    return f"{interval.mean:.2f} x [{interval.low:.2f}, {interval.high:.2f}]"


def captions(comparison: Comparison) -> list[str]:
    """How the two tables are to be read."""
    yardstick = comparison.yardstick
    target = "" if yardstick.target is None else f" Target: {yardstick.target:.3f} on validation texts."
    airtime = "" if yardstick.airtime_s is None else f" Equal airtime: {yardstick.airtime_s:.2f} s."
    return [
        f"Mean over seeds ± half the 95 % interval.{target}{airtime}",
        f"Against {comparison.reference}, paired by seed: differences in points, costs as ratios, 95 % intervals. "
        "“equal” only within ±1 point; “open”: more seeds are needed.",
    ]


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON; what is not known is None."""
    methods = [
        {
            "name": row.name,
            "runs": [
                {"run_dir": str(run.directory), "seed": run.seed, "iq": run.iq, **run.values(comparison.yardstick)}
                for run in row.runs
            ],
            "measures": {cell.measure.key: _plain(cell) for cell in row.cells},
        }
        for row in comparison.rows
    ]
    return {
        "name": comparison.name, "reference": comparison.reference, "target_accuracy": comparison.yardstick.target,
        "equal_airtime_s": comparison.yardstick.airtime_s, "methods": methods, "remarks": comparison.remarks,
    }  # fmt: skip


def _plain(cell: Cell) -> dict[str, Any]:
    kind = "difference" if cell.measure.share else "ratio"
    return {
        "mean": _ends(cell.mean), kind: _ends(cell.against), "verdict": cell.verdict, "runs": cell.runs,
        "values": _count(cell.mean), "pairs": _count(cell.against),
    }  # fmt: skip


def write_latex(comparison: Comparison, path: Path) -> Path:
    """A ``tabular`` (booktabs) of means, methods as rows. Raises StorageError."""
    titles = headings(comparison.rows)
    lines = [
        f"% {captions(comparison)[0]}",
        rf"\begin{{tabular}}{{l{'r' * len(titles)}}}",
        r"\toprule",
        " & ".join(["Method", *map(_escaped, titles)]) + r" \\",
        r"\midrule",
        *(" & ".join([_escaped(row.name), *map(_latex_cell, row.cells)]) + r" \\" for row in comparison.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path


def _latex_cell(cell: Cell) -> str:
    return mean_text(cell).replace("±", r"$\pm$").replace(DASH, "--")


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def write_tables(comparison: Comparison, directory: Path) -> list[Path]:
    """``methods.csv``, a line per method and measure, ``runs.csv``, a line per run, and ``curves.csv``, one per round.

    Raises StorageError.
    """
    columns = ["method", "measure", "runs", "values", "mean", "low", "high",
               "against", "pairs", "difference_or_ratio", "against_low", "against_high", "verdict"]  # fmt: skip
    methods = [
        [row.name, cell.measure.key, cell.runs, _count(cell.mean), *_ends(cell.mean),
         comparison.reference, _count(cell.against), *_ends(cell.against), cell.verdict]
        for row in comparison.rows for cell in row.cells
    ]  # fmt: skip
    runs = [
        [row.name, run.seed, run.directory.name, "yes" if run.iq else "no",
         *run.values(comparison.yardstick).values()]
        for row in comparison.rows for run in row.runs
    ]  # fmt: skip
    curves = [
        [row.name, run.seed, number, *point]
        for row in comparison.rows for run in row.runs
        for number, point in enumerate(zip(run.airtime_s, run.validation, run.smoothed, strict=True), 1)
    ]  # fmt: skip
    keys = ["method", "seed", "run", "iq", *(m.key for m in MEASURES)]
    return [
        write_csv(directory / "methods.csv", columns, methods),
        write_csv(directory / "runs.csv", keys, runs),
        write_csv(
            directory / "curves.csv",
            ["method", "seed", "round", "airtime_s", "validation_accuracy", "validation_accuracy_smoothed"],
            curves,
        ),
    ]


def _count(interval: Interval | None) -> int:
    return 0 if interval is None else interval.values


def _ends(interval: Interval | None) -> list[float | None]:
    if interval is None:
        return [None, None, None]
    return [None if math.isnan(end) else end for end in interval[:3]]
