"""A whole simulation: points, bursts, workers, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from radio.simulation.burst import BurstOutcome
from radio.simulation.results import PointResult, summarise
from radio.simulation.scenario import Point, Scenario, check
from radio.simulation.workers import Batch, Workers

LARGEST_BATCH = 8
PointDone = Callable[[PointResult], None]
BurstsDone = Callable[[int], None]


def sweep(
    scenario: Scenario,
    points: Sequence[Point],
    bursts: int,
    workers: Workers,
    bursts_done: BurstsDone = lambda count: None,
    point_done: PointDone = lambda result: None,
) -> list[PointResult]:
    """Figures of every point, in order, from ``bursts`` bursts each; the same however many ``workers`` there are.

    ``bursts_done`` is told of every few bursts, ``point_done`` of every finished point. Raises ConfigurationError
    on what cannot be simulated, DataError without the link tables that ``auto`` needs.
    """
    check(scenario, points)
    found: list[dict[int, list[BurstOutcome]]] = [{} for _ in points]
    results: dict[int, PointResult] = {}
    for batch, outcomes in workers.run(_batches(scenario, points, bursts, workers.jobs)):
        parts = found[batch.position]
        parts[batch.first] = outcomes
        bursts_done(len(outcomes))
        if sum(map(len, parts.values())) == bursts:
            in_order = [outcome for first in sorted(parts) for outcome in parts[first]]
            results[batch.position] = summarise(scenario, points[batch.position], in_order)
            point_done(results[batch.position])
    return [results[position] for position in range(len(points))]


def _batches(scenario: Scenario, points: Sequence[Point], bursts: int, jobs: int) -> Iterator[Batch]:
    size = max(1, min(LARGEST_BATCH, bursts // (2 * jobs)))
    for position, point in enumerate(points):
        for first in range(0, bursts, size):
            yield Batch(position, scenario, point, first, min(size, bursts - first))
