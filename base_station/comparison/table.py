"""Methods side by side: each measure's mean over seeds, and its paired difference to a reference method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from base_station.comparison.measures import MEASURES, Measure, RunCurve, Yardstick
from base_station.comparison.statistics import (
    EQUAL_POINTS,
    Interval,
    Verdict,
    mean_interval,
    paired_difference,
    paired_ratio,
    verdict,
)

BELOW_REFERENCE = 0.01
"""The target accuracy, unless one is given: what the reference ends with, less one point (ours)."""


@dataclass(frozen=True)
class Cell:
    """One measure of one method."""

    measure: Measure
    runs: int
    """Runs of the method; those without the value (target not reached) are not in the mean."""
    mean: Interval | None
    against: Interval | None
    """Difference (shares) or ratio (costs) to the reference over common seeds; None for the reference itself."""
    verdict: Verdict


@dataclass(frozen=True)
class MethodRow:
    """One method: its runs and cells in the order of ``MEASURES``, the same measures for every method."""

    name: str
    runs: Sequence[RunCurve]
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Comparison:
    """All methods, compared with ``reference`` (a name)."""

    name: str
    reference: str
    yardstick: Yardstick
    rows: Sequence[MethodRow]
    absent: Sequence[str] = ()
    """Methods without a run that could be compared."""

    @property
    def remarks(self) -> list[str]:
        """What a reader must know before trusting the table."""
        runs = [run for row in self.rows for run in row.runs]
        remarks = []
        if self.absent:
            remarks.append(f"No run is there of: {', '.join(self.absent)}. Methods are compared with {self.reference}.")
        unfinished = sum(not run.finished for run in runs)
        if unfinished:
            remarks.append(
                f"{unfinished} of {len(runs)} runs are not finished: they have no test accuracy, and what they cost "
                "so far is not counted."
            )
        if any(not run.iq for run in runs):
            remarks.append("Runs marked “no IQ” drew their losses from the link tables; nothing was modulated.")
        if len({run.version for run in runs}) > 1:
            remarks.append("The runs were made by different versions of airtune.")
        if len({run.seconds_per_step for run in runs}) > 1:
            remarks.append("The runs' training times are from different device profiles, so not only methods differ.")
        if len({run.latency_budget_s for run in runs}) > 1:
            remarks.append("The runs have different latency budgets.")
        differing = [what for what in runs[0].conditions if len({run.conditions[what] for run in runs}) > 1]
        if differing:
            remarks.append(
                f"The runs differ in their {', '.join(differing)}: what is paired by seed did not have the same task."
            )
        airtime_s = self.yardstick.airtime_s or 0.0
        short = sum(run.finished and run.airtime_s[-1] < airtime_s * (1.0 - 1e-9) for run in runs)
        if short:
            remarks.append(
                f"{short} of {len(runs)} runs took less than {airtime_s:.2f} s of airtime: at equal airtime they stand "
                "with their end."
            )
        return remarks


def compare(
    name: str,
    methods: Mapping[str, Sequence[RunCurve]],
    reference: str | None = None,
    target: float | None = None,
    airtime_s: float | None = None,
) -> Comparison:
    """Compare methods; the reference is the first unless named, or unless it has no run. At least one has a run.

    ``target`` is a validation accuracy and ``airtime_s`` the airtime at which accuracies are compared; without them
    what the reference ends with, less a point, and the least that any run took.
    """
    present = {method: runs for method, runs in methods.items() if runs}
    chosen = reference if reference in present else next(iter(present))
    everything = [run for runs in present.values() for run in runs]
    yardstick = Yardstick(
        default_target(present[chosen]) if target is None else target,
        least_airtime_s(everything) if airtime_s is None else airtime_s,
    )
    values = {method: {run.seed: run.values(yardstick) for run in runs} for method, runs in present.items()}
    seen = [row for runs in values.values() for row in runs.values()]
    shown = [m for m in MEASURES if not m.optional or any(row[m.key] is not None for row in seen)]
    rows = [
        MethodRow(method, runs, [_cell(m, values[method], values[chosen], method == chosen) for m in shown])
        for method, runs in present.items()
    ]
    return Comparison(name, chosen, yardstick, rows, [method for method in methods if method not in present])


def default_target(runs: Sequence[RunCurve]) -> float | None:
    """Validation accuracy these runs end with, less one point; None if none is finished, or they learned nothing."""
    ends = [run.smoothed[-1] for run in runs if run.finished]
    target = math.fsum(ends) / len(ends) - BELOW_REFERENCE if ends else 0.0
    return target if target > 0.0 else None


def least_airtime_s(runs: Sequence[RunCurve]) -> float | None:
    """The airtime that every finished run took at least, runs that sent nothing apart; None if there is none."""
    return min((run.airtime_s[-1] for run in runs if run.finished and run.airtime_s[-1] > 0.0), default=None)


Values = Mapping[int, Mapping[str, float | None]]
"""Value of each measure by seed."""


def _cell(measure: Measure, own: Values, reference: Values, is_reference: bool) -> Cell:
    mine, others = _known(measure.key, own), _known(measure.key, reference)
    mean = mean_interval(list(mine.values())) if mine else None
    if is_reference:
        return Cell(measure, len(own), mean, None, "")
    if measure.share:
        against = paired_difference(mine, others)
        return Cell(measure, len(own), mean, against, verdict(against, 0.0, EQUAL_POINTS))
    against = paired_ratio(mine, others)
    return Cell(measure, len(own), mean, against, verdict(against, 1.0, None))


def _known(key: str, values: Values) -> dict[int, float]:
    return {seed: value for seed, row in values.items() if (value := row[key]) is not None}
