"""An instance's lists as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.problem import ClientInstance, Instance

Table = NDArray[np.float64]


def curve_tables(clients: Sequence[ClientInstance]) -> tuple[Table, Table]:
    """Bits and energies of all curve points, (N, P) each; rows end in zeros."""
    width = max([len(c.curve) for c in clients], default=1)
    table = _padded([list(chain.from_iterable(c.curve)) for c in clients], 2 * width)
    return table[:, ::2], table[:, 1::2]


def rate_tables(instance: Instance) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, Table]:
    """Numbers of RBs and first RBs (None if they do not matter) of all grants, (M,), and goodput, (N, M).

    Without places a goodput that fewer RBs reach too is 0: the other RBs would stay unused.
    """
    if instance.placed:
        return _placed_rates(instance)
    rows = [(client.rate_bps or [])[: instance.rb_total] for client in instance.clients]
    rb_limit = max([len(row) for row in rows], default=0)
    rate = _padded(rows, rb_limit)
    if rb_limit > 1:
        rate[:, 1:][rate[:, 1:] <= np.maximum.accumulate(rate[:, :-1], axis=1)] = 0.0
    return np.arange(1, rb_limit + 1), None, rate


def padded_ladder(rate: Table, placed: bool) -> Table:
    """The rates of each row in falling order, repeated where they are 0 and the place does not matter, then zeros.

    The length is 2^b - 1, for bisection.
    """
    falling = -np.sort(-rate, axis=1) if placed else np.maximum.accumulate(rate, axis=1)[:, ::-1]
    ladder = np.zeros((len(rate), 2 ** max(rate.shape[1].bit_length(), 1) - 1))
    ladder[:, : rate.shape[1]] = falling
    return ladder


def _placed_rates(instance: Instance) -> tuple[NDArray[np.int64], NDArray[np.int64], Table]:
    rb_total = instance.rb_total
    # Row k, column s: k + 1 RBs from s on; the upper left triangle fits the band.
    fits = np.add.outer(np.arange(rb_total), np.arange(rb_total)) < rb_total
    index, rb_start = np.nonzero(fits)
    rate = np.zeros((len(instance.clients), len(rb_start)))
    for row, client in zip(rate, instance.clients, strict=True):
        row[:] = _rate_square(client, rb_total)[fits]
    return index + 1, rb_start, rate


def _rate_square(client: ClientInstance, rb_total: int) -> Table:
    """Goodput with k + 1 RBs from s on at [k, s]."""
    if client.rate_bps_at is not None:
        rows = [*client.rate_bps_at, *([[]] * (rb_total - len(client.rate_bps_at)))]
        return _padded(rows, rb_total)
    rates = (client.rate_bps or [])[:rb_total]
    return np.broadcast_to(_padded([rates], rb_total).T, (rb_total, rb_total))


def _padded(rows: Sequence[Sequence[float]], width: int) -> Table:
    """Rows of at most ``width`` numbers, zeros behind them."""
    table = np.zeros((len(rows), width))
    lengths = np.array([len(row) for row in rows], np.int64)
    table[np.arange(width) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.float64, lengths.sum())
    return table
