"""Schemes that send whole components: ``soft``, ``dense`` and ``random-components``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_client.soft.importance import (
    Energies,
    component_energies,
    product_norms,
    rounding_energies,
    taylor_gains,
)
from edge_client.soft.ranking import Change, Ranking, by_falling, rank_units, unit_bytes
from protocol.random_streams import random_stream
from protocol.update.components import Components
from protocol.update.records import ComponentLayout


def rank_soft(change: Change) -> Ranking:
    """Components by falling importance per encoded bit; those that did not change are not sent."""
    layout = _layout(change)
    counted = measure = energies = _energies(change, layout)
    if change.importance == "product-norm":
        measure = product_norms(layout.components, change.base, change.delta, change.scaling, change.kappa)
    elif change.importance == "taylor":
        counted = measure = _dealt_by_gain(energies, change, layout)
    per_byte = measure / unit_bytes(layout)
    return _ranked(change, layout, by_falling(per_byte, _changed(change, layout)), energies, counted)


def rank_dense(change: Change) -> Ranking:
    """Every component, changed or not, or none of them."""
    layout = _layout(change)
    energies = _energies(change, layout)
    return _ranked(change, layout, np.arange(len(layout)), energies, energies, all_or_nothing=True)


def rank_random(change: Change) -> Ranking:
    """The components that changed in random order."""
    layout = _layout(change)
    stream = random_stream(change.order_seed, "component-order")
    energies = _energies(change, layout)
    return _ranked(change, layout, stream.permutation(_changed(change, layout)), energies, energies)


def _layout(change: Change) -> ComponentLayout:
    return ComponentLayout(Components(change.base, change.frozen), change.quant_bits)


def _energies(change: Change, layout: ComponentLayout) -> Energies:
    components, ranks = layout.components, change.rank_energies
    return component_energies(components, change.base, change.delta, change.scaling, change.kappa, ranks)


def _dealt_by_gain(energies: Energies, change: Change, layout: ComponentLayout) -> Energies:
    """The energy of the whole change, dealt to its components in proportion to their first-order gains (ours).

    So an error curve says which share of the expected gain stays unsent, and clients are compared as ever.
    """
    if change.gradient is None:
        raise ValueError("importance 'taylor' needs the gradient of local training")
    gains = taylor_gains(layout.components, change.gradient, change.delta)
    total = float(gains.sum())
    return gains * (float(energies.sum()) / total) if total > 0.0 else energies


def _changed(change: Change, layout: ComponentLayout) -> NDArray[np.int64]:
    components = layout.components
    parts = (components.gather(change.delta, i) for i in range(len(components)))
    return np.flatnonzero([any(np.any(part) for part in own) for own in parts])


def _ranked(
    change: Change, layout: ComponentLayout, order: NDArray[np.int64], energies: Energies, counted: Energies, *,
    all_or_nothing: bool = False,
) -> Ranking:  # fmt: skip
    """``counted``: what the error curve takes the ``energies`` of the components for; rounding loses as much of it."""
    components = layout.components

    def write(unit: int, rng: np.random.Generator) -> tuple[bytes, int]:
        parts = components.gather(change.delta, unit)
        lora = sum(part.size for part in parts) if unit < layout.lora_units else 0
        return layout.write(unit, parts, rng), lora

    errors = rounding_energies(
        components, change.base, change.delta, change.scaling, change.kappa, change.quant_bits
    )  # fmt: skip
    lost = np.divide(errors, energies, out=np.zeros_like(errors), where=energies > 0.0)
    return rank_units(change, layout, order, counted, lost * counted, write, all_or_nothing=all_or_nothing)
