"""Schemes that send single LoRA values: ``magnitude-top-k`` over all of them, ``factor-top-k`` within each factor.

Values are admitted in tiers, so that a larger update holds the values of a smaller one; positions and codes of a
tile are written anew for each. Head rows are sent whole, as in every scheme, between the tiers by energy per bit.
Source: top-k by magnitude is textbook; tiers, and energies in weight space, are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_client.soft.importance import Energies, head_energies, head_rounding_energies
from edge_client.soft.ranking import Change, RankedRecord, Ranking, by_falling
from edge_client.soft.tiers import Tiers, module_curve, value_energies
from protocol.adapters import module_scaling
from protocol.update.components import Components
from protocol.update.files import ENTRY_BYTES, header_bytes
from protocol.update.indices import Positions
from protocol.update.tiles import Tile, TileLayout

TIERS = 63
"""One less than an error curve has points."""
Bytes = NDArray[np.int64]


def rank_magnitude(change: Change) -> Ranking:
    """The largest LoRA values of all modules."""
    layout = _layout(change)
    values = _factors(layout, change)
    sizes = np.concatenate([np.abs(value).reshape(-1) for value in values.values()])
    tiers = np.split(_tiers_of(sizes), np.cumsum([value.size for value in values.values()])[:-1])
    shaped = {name: tier.reshape(values[name].shape) for name, tier in zip(values, tiers, strict=True)}
    return _ranked(change, layout, shaped)


def rank_factor_magnitude(change: Change) -> Ranking:
    """The same share of every factor: its largest values."""
    layout = _layout(change)
    values = _factors(layout, change)
    tiers = {name: _tiers_of(np.abs(value).reshape(-1)).reshape(value.shape) for name, value in values.items()}
    return _ranked(change, layout, tiers)


@dataclass(frozen=True)
class ValueRanking(Ranking):
    """Prefixes of tiers and head rows."""

    tiers: Tiers
    steps: NDArray[np.int64]
    """(prefixes, 2): tiers and head rows of each prefix."""
    heads: NDArray[np.int64]
    """Units of the head rows, the most useful first."""
    lora_unsent: Energies
    """By number of tiers sent."""
    head_gains: Energies
    """In the order of ``heads``."""

    def records(self, prefix: int, rng: np.random.Generator) -> list[RankedRecord]:
        """See ``Ranking``. A tile's gain is its share of the LoRA gain by first-order energy."""
        tier_count, head_count = self.steps[prefix]
        change, layout = self.change, self.layout
        assert isinstance(layout, TileLayout)
        taken = {unit: positions for unit, positions in _taken(layout, self.tiers, tier_count) if len(positions)}
        shares = {u: float(value_energies(change, layout.tiles[u])[positions].sum()) for u, positions in taken.items()}
        whole = sum(shares.values())
        gain = float(self.lora_unsent[0] - self.lora_unsent[tier_count]) / whole if whole > 0.0 else 0.0
        order = sorted(taken, key=lambda unit: -shares[unit] / layout.record_bytes(unit, taken[unit]))
        tiles = [
            RankedRecord(layout.write(u, taken[u], change.delta, rng), gain * shares[u], len(taken[u])) for u in order
        ]
        heads = [
            RankedRecord(layout.head_record(int(unit), change.delta, rng), float(head_gain), 0)
            for unit, head_gain in zip(self.heads[:head_count], self.head_gains, strict=False)
        ]
        return sorted([*tiles, *heads], key=lambda record: -record.gain / len(record.data))


def _layout(change: Change) -> TileLayout:
    return TileLayout(Components(change.base, change.frozen), change.quant_bits)


def _factors(layout: TileLayout, change: Change) -> dict[str, NDArray[np.float32]]:
    """Values by name of the factors that are sent, rank components as rows."""
    names = dict.fromkeys((tile.tensor, tile.transposed) for tile in layout.tiles)
    return {name: change.delta[name].T if transposed else change.delta[name] for name, transposed in names}


def _tiers_of(sizes: NDArray[np.float32]) -> NDArray[np.int64]:
    """First tier of each value by its size: tier t holds the share ((t + 1) / TIERS)^2 of those that are not zero.

    TIERS for zeros: they are never sent.
    """
    order = np.argsort(-sizes, kind="stable")
    changed = int(np.count_nonzero(sizes))
    bounds = np.ceil(changed * (np.arange(1, TIERS + 1) / TIERS) ** 2)
    tiers = np.full(len(sizes), TIERS)
    tiers[order[:changed]] = np.searchsorted(bounds, np.arange(changed), side="right")
    return tiers


def _taken(layout: TileLayout, tiers: Tiers, count: int) -> Iterator[tuple[int, Positions]]:
    """(unit, positions of its values in the first ``count`` tiers)."""
    for unit, tile in enumerate(layout.tiles):
        yield unit, np.flatnonzero(_tier_of(tile, tiers) < count)


def _tier_of(tile: Tile, tiers: Tiers) -> NDArray[np.int64]:
    return tiers[tile.tensor].reshape(-1)[tile.start : tile.start + tile.size]


def _tier_bytes(layout: TileLayout, tiers: Tiers, entry_bytes: int) -> Bytes:
    """Size of the tiles' records by number of tiers sent."""
    sizes = np.zeros(TIERS + 1, dtype=np.int64)
    for count in range(1, TIERS + 1):
        records = (layout.record_bytes(unit, p) + entry_bytes for unit, p in _taken(layout, tiers, count) if len(p))
        sizes[count] = sum(records)
    return sizes


def _ranked(change: Change, layout: TileLayout, tiers: Mapping[str, NDArray[np.int64]]) -> Ranking:
    components = layout.components
    entry_bytes = ENTRY_BYTES if change.annotated else 0
    lora_bytes = _tier_bytes(layout, tiers, entry_bytes)
    lora_unsent = np.zeros(TIERS + 1)
    for module in components.modules:
        s = module_scaling(change.scaling, module.name)
        lora_unsent += s**2 * module_curve(change, layout, module, tiers, TIERS)
    energies = head_energies(components, change.delta, change.kappa)
    errors = head_rounding_energies(components, change.delta, change.kappa, change.quant_bits)
    sizes = np.array([layout.id_bytes + layout.head_bytes(u) + entry_bytes for u in layout.head_units()], np.int64)
    rows = by_falling(energies / sizes, np.flatnonzero(energies))
    steps = _merged(-np.diff(lora_unsent), np.diff(lora_bytes), (energies - errors)[rows], sizes[rows])
    later = np.append(np.cumsum(energies[rows][::-1])[::-1], 0.0)
    head_unsent = later + np.append(0.0, np.cumsum(errors[rows]))
    head_bytes = np.append(0, np.cumsum(sizes[rows]))
    file_bytes = header_bytes(change.annotated) + lora_bytes[steps[:, 0]] + head_bytes[steps[:, 1]]
    unsent = lora_unsent[steps[:, 0]] + head_unsent[steps[:, 1]]
    # Of prefixes of one size only the last is of use (a tier may be empty).
    kept = np.append(np.diff(file_bytes) > 0, True)
    return ValueRanking(
        change, layout, file_bytes[kept], unsent[kept], tiers, steps[kept], layout.lora_units + rows,
        lora_unsent, (energies - errors)[rows],
    )  # fmt: skip


def _merged(tier_gains: Energies, tier_bytes: Bytes, head_gains: Energies, head_bytes: Bytes) -> NDArray[np.int64]:
    """(prefixes, 2) tiers and head rows: two sequences, the next step always the one that gains more per byte."""
    steps, tier, head = [(0, 0)], 0, 0
    tier_rates, head_rates = tier_gains / np.maximum(tier_bytes, 1), head_gains / head_bytes
    while tier < len(tier_rates) or head < len(head_rates):
        if head == len(head_rates) or (tier < len(tier_rates) and tier_rates[tier] >= head_rates[head]):
            tier += 1
        else:
            head += 1
        steps.append((tier, head))
    return np.array(steps)
