"""Every grant a client could be given, as arrays: what it gains over silence and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.problem import ClientInstance, Instance

GAIN_UNITS = 2**58
"""Integer units that the sum of all energy terms is divided into: sums are exact in any order."""

RB_PENALTY_UNITS = 2**12
"""Gain an extra RB must bring. Far above the rounding of a gain (a few 2**-53 of the sum of all
energy terms), so of equal allocations the one with fewest RBs wins, and far below any real difference."""

SAME_LATENCY = 1e-12
"""Latencies closer than this, relative, are one latency that was rounded in two ways."""


@dataclass(frozen=True)
class Options:
    """All grants of an instance, for N clients, M grants and curve points j = 0..P-1 (padded).

    A grant is a number of RBs, 1 to K, or where rates depend on the place, a number and a first RB.
    ``rb_count``, ``rb_start`` (M,): RBs and first RB of a grant; no first RB where it does not matter.
    ``gain`` (N, M, P): objective saved against silence, 0 or less where a grant is useless or forbidden.
    ``latency_s`` (N, M, P): infinite where the grant is impossible.
    ``floor_s``: the largest compute time; no allocation has a smaller largest latency.
    ``energy_total``: sum of V weight energy over the clients with a useful grant, the scale of ties.
    """

    rb_count: NDArray[np.int64]
    rb_start: NDArray[np.int64] | None
    gain: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    floor_s: float
    energy_total: float

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """``gain`` in integer units with the RB penalty taken off; 0 or less: useless."""
        if self.energy_total == 0.0:
            return np.zeros(self.gain.shape, np.int64)
        units: NDArray[np.int64] = np.rint(np.maximum(self.gain, 0.0) / self.energy_total * GAIN_UNITS).astype(np.int64)
        units -= RB_PENALTY_UNITS * self.rb_count[:, None]
        return units

    @property
    def tie(self) -> float:
        """Objectives closer than this are equal."""
        rb_limit = int(self.rb_count.max(initial=0))
        return 4 * rb_limit * RB_PENALTY_UNITS * self.energy_total / GAIN_UNITS

    def gain_of(self, units: int) -> float:
        """What an amount of units is worth, the penalty of RBs not counted."""
        return units / GAIN_UNITS * self.energy_total

    def within(self, cap_s: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Best units and curve point for each client and grant with latency at most ``cap_s``, (N, M) each."""
        units = np.where(self.latency_s <= cap_s, self.units, 0)
        point = units.argmax(axis=2)
        return np.take_along_axis(units, point[:, :, None], axis=2)[:, :, 0], point

    def caps_s(self) -> NDArray[np.float64]:
        """Every value the largest latency can take, ascending, the floor first."""
        useful = self.latency_s[self.units > 0]
        values = np.unique(np.append(np.maximum(useful, self.floor_s), self.floor_s))
        last_of_its_kind = np.append(np.diff(values) > SAME_LATENCY * values[1:], True)
        distinct: NDArray[np.float64] = values[last_of_its_kind]
        return distinct


def build_options(instance: Instance, latency_price: NDArray[np.float64]) -> Options:
    """Tabulate all grants. ``latency_price`` (N,): what a second of airtime costs each client in the objective."""
    clients = instance.clients
    rb_count, rb_start, rate = _placed_rates(instance) if instance.placed else _rates(instance)
    points = max([len(c.curve) for c in clients], default=1)
    bits = _padded([[p[0] for p in c.curve] for c in clients], points)
    energy = _padded([[p[1] for p in c.curve] for c in clients], points)
    scale = instance.V * np.array([c.weight for c in clients])
    overhead = np.array([c.overhead_s for c in clients])
    compute = np.array([c.compute_s for c in clients])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        transfer = bits[:, None, :] / rate[:, :, None]
        latency = (compute + overhead)[:, None, None] + transfer
        saved = scale[:, None] * (energy[:, :1] - energy)
        gain = saved[:, None, :] - latency_price[:, None, None] * (overhead[:, None, None] + transfer)
    limit = np.inf if instance.deadline_s is None else instance.deadline_s
    # Zero bits: the point of silence, or padding.
    possible = (bits > 0)[:, None, :] & np.isfinite(latency) & (latency <= limit)
    gain = np.where(possible, gain, 0.0)
    useful = (gain > 0.0).any(axis=(1, 2))
    total = float((scale * energy[:, 0])[useful].sum())
    latency = np.where(possible, latency, np.inf)
    return Options(rb_count, rb_start, gain, latency, float(compute.max(initial=0.0)), total)


def _rates(instance: Instance) -> tuple[NDArray[np.int64], None, NDArray[np.float64]]:
    """Numbers of RBs (M,) and goodput (N, M)."""
    rows = [client.rate_bps or [] for client in instance.clients]
    rb_limit = max([min(len(row), instance.rb_total) for row in rows], default=0)
    return np.arange(1, rb_limit + 1), None, _padded([row[:rb_limit] for row in rows], rb_limit)


def _placed_rates(instance: Instance) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of RBs and first RBs of all placements (M,), and goodput (N, M)."""
    rb_total = instance.rb_total
    # Row k, column s: k + 1 RBs from s on; the upper left triangle fits the band.
    fits = np.add.outer(np.arange(rb_total), np.arange(rb_total)) < rb_total
    index, rb_start = np.nonzero(fits)
    rate = np.zeros((len(instance.clients), len(rb_start)))
    for row, client in zip(rate, instance.clients, strict=True):
        row[:] = _rate_square(client, rb_total)[fits]
    return index + 1, rb_start, rate


def _rate_square(client: ClientInstance, rb_total: int) -> NDArray[np.float64]:
    """Goodput with k + 1 RBs from s on at [k, s]."""
    if client.rate_bps_at is not None:
        rows = [*client.rate_bps_at, *([[]] * (rb_total - len(client.rate_bps_at)))]
        return _padded(rows, rb_total)
    rates = (client.rate_bps or [])[:rb_total]
    return np.broadcast_to(_padded([rates], rb_total).T, (rb_total, rb_total))


def _padded(rows: list[list[float]], width: int) -> NDArray[np.float64]:
    table = np.zeros((len(rows), width))
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
