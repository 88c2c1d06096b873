"""What is left unsent when single values of the factors are sent in tiers: exact energies in weight space, O(values).

With b^ = b0 + the values of db that are sent, and a^ likewise, a component leaves

    |b a - b^ a^|^2 = |b - b^|^2 |a|^2 + |b^|^2 |a - a^|^2 + 2 ((b - b^) . b^) (a . (a - a^))

and its rounding ``v_b |a^|^2 + |b^|^2 v_a + v_b v_a`` more. Every factor is a sum over values, hence a cumulative sum
over tiers. Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_client.soft.importance import Energies
from edge_client.soft.ranking import Change
from protocol.adapters import LoraModule, module_scaling
from protocol.factors import Matrix
from protocol.update.quantisation import rounding_variances
from protocol.update.tiles import Tile, TileLayout

Tiers = Mapping[str, NDArray[np.int64]]
"""By name of a factor that is sent: first tier of each value, rank components as rows."""


@dataclass(frozen=True)
class _Sums:
    """Of one factor x = x0 + dx and its sent part x^, per rank component and number of tiers sent (r, tiers + 1)."""

    gap: Matrix
    """|x - x^|^2"""
    sent: Matrix
    """|x^|^2"""
    gap_start: Matrix
    """(x - x^) . x^, where x^ is x0 wherever x - x^ is not zero."""
    gap_end: Matrix
    """(x - x^) . x"""
    error: Matrix
    """Expected squared rounding error of x^."""
    whole: Matrix
    """|x|^2, the same for every number of tiers."""


def module_curve(change: Change, layout: TileLayout, module: LoraModule, tiers: Tiers, count: int) -> Energies:
    """Energy a module leaves unsent, without s^2, by number of tiers sent (count + 1)."""
    b = _sums(change, layout, module.b_name, True, tiers, count)
    a = _sums(change, layout, module.a_name, False, tiers, count)
    left = b.gap * a.whole + b.sent * a.gap + 2.0 * b.gap_start * a.gap_end
    left = np.maximum(left, 0.0) + b.error * a.sent + b.sent * a.error + b.error * a.error
    total: Energies = left.sum(axis=0)
    return total


def value_energies(change: Change, tile: Tile) -> Energies:
    """First-order energy ``s^2 dx^2 |other factor's vector|^2`` of each value of a tile."""
    module = tile.module
    other = module.a_name if tile.transposed else module.b_name
    partner = change.base[other].astype(np.float64) + change.delta[other]
    squares = np.sum(partner**2, axis=1 if tile.transposed else 0)
    row = (tile.start + np.arange(tile.size)) // tile.width
    s = module_scaling(change.scaling, module.name)
    energies: Energies = s**2 * tile.values_of(change.delta).astype(np.float64) ** 2 * squares[row]
    return energies


def _sums(change: Change, layout: TileLayout, name: str, transposed: bool, tiers: Tiers, count: int) -> _Sums:
    start, step = change.base[name].astype(np.float64), change.delta[name].astype(np.float64)
    start, step = (start.T, step.T) if transposed else (start, step)
    if name not in tiers:  # frozen: nothing changes, nothing is rounded
        start = start + step
        step = np.zeros_like(start)
        tier = np.zeros(start.shape, dtype=np.int64)
    else:
        tier = tiers[name]
    error = _errors(change, layout, name, start.shape)
    moved = 2.0 * start * step + step**2

    def later(values: Matrix) -> Matrix:
        sums: Matrix = np.cumsum(_by_tier(values, tier, count)[:, ::-1], axis=1)[:, ::-1]
        return sums

    def earlier(values: Matrix) -> Matrix:
        sums: Matrix = np.pad(np.cumsum(_by_tier(values, tier, count), axis=1)[:, :-1], ((0, 0), (1, 0)))
        return sums

    return _Sums(
        gap=later(step**2),
        sent=np.sum(start**2, axis=1)[:, None] + earlier(moved),
        gap_start=later(step * start),
        gap_end=later(step * (start + step)),
        error=earlier(error),
        whole=np.sum((start + step) ** 2, axis=1)[:, None],
    )


def _errors(change: Change, layout: TileLayout, name: str, shape: tuple[int, ...]) -> Matrix:
    """Expected squared rounding error of each value of a factor once it is sent; its tile's scale is then known."""
    tiles = [tile for tile in layout.tiles if tile.tensor == name]
    if not tiles:
        return np.zeros(shape)
    errors = [rounding_variances(tile.values_of(change.delta)[None, :], change.quant_bits)[0] for tile in tiles]
    whole: Matrix = np.concatenate(errors).reshape(shape)
    return whole


def _by_tier(values: Matrix, tier: NDArray[np.int64], count: int) -> Matrix:
    """Sums per row and tier (r, count + 1)."""
    place = np.arange(len(values))[:, None] * (count + 1) + tier
    sums = np.bincount(place.ravel(), weights=values.ravel(), minlength=len(values) * (count + 1))
    by_tier: Matrix = sums.astype(np.float64).reshape(len(values), count + 1)
    return by_tier
