"""Curves over rounds, one per client: gaps where a client was absent, thin lines where there are many."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from base_station.report.drawing import INK, DataTable, integer_ticks
from base_station.report.run_data import RunData
from base_station.store.records import ClientRoundRecord

MAX_DRAWN_ROUNDS = 300
_MARKED_ROUNDS = 40
_MANY_CLIENTS = 12

Value = Callable[[ClientRoundRecord], float | None]


def client_curves(axes: Any, data: RunData, value: Value) -> None:
    """Draw ``value`` of every client over the rounds; many clients get their median as well."""
    rounds = [r.round_index for r in data.rounds]
    every = stride(len(rounds))
    many = len(data.names) > _MANY_CLIENTS
    matrix = np.full((len(data.names), len(rounds)), math.nan)
    place = {t: i for i, t in enumerate(rounds)}
    row = {name: i for i, name in enumerate(data.names)}
    for record in data.clients:
        found = value(record)
        if record.client in row and found is not None:
            matrix[row[record.client], place[record.round_index]] = found
    for name, values in zip(data.names, matrix, strict=True):
        style = data.styles[name]
        axes.plot(
            rounds[::every], values[::every], color=style.colour, linestyle=style.dash,
            marker=None if len(rounds) > _MARKED_ROUNDS else "." if many else style.marker,
            linewidth=0.9 if many else 1.8, alpha=0.7 if many else 1.0,
        )  # fmt: skip
    if many and not np.isnan(matrix).all():
        seen = ~np.isnan(matrix).all(axis=0)
        median = np.nanmedian(matrix[:, seen], axis=0)
        axes.plot(np.asarray(rounds)[seen][::every], median[::every], color=INK, linewidth=2.4, label="median")
        axes.legend(loc="best")
    round_axis(axes, data)


def round_axis(axes: Any, data: RunData) -> None:
    """The x axis counts rounds; one round alone still has room."""
    axes.set_xlabel("round")
    integer_ticks(axes.xaxis)
    if len(data.rounds) == 1:
        axes.set_xlim(data.rounds[0].round_index - 1, data.rounds[0].round_index + 1)


def stride(count: int) -> int:
    """Every how many rounds a point is drawn (the CSV has all)."""
    return max(1, math.ceil(count / MAX_DRAWN_ROUNDS))


def client_table(data: RunData, name: str, columns: Sequence[str]) -> DataTable:
    """``round, client`` and the named fields of every client round."""
    rows = [[c.round_index, c.client, *(getattr(c, column) for column in columns)] for c in data.clients]
    return DataTable(name, ["round", "client", *columns], rows)
