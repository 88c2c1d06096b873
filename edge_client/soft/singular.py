"""``svd``: singular triplets of each module's change of ``B A``, ranked over all modules.

The change ``[dB, B0] [A; dA]`` is never formed: thin QR of both factors, SVD of the small core. Source: textbook.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_client.soft.importance import head_energies, head_rounding_energies
from edge_client.soft.ranking import Change, Ranking, by_falling, rank_units, unit_bytes
from protocol.adapters import LoraModule, module_scaling
from protocol.errors import DataError
from protocol.factors import Matrix
from protocol.update.components import Components, Parts
from protocol.update.quantisation import rounding_variances
from protocol.update.triplets import PART_LIMIT, TripletLayout, triplets_of

FLOAT32_ROUNDING = 1e-7
"""Singular values below this share of a module's largest are rounding of the float32 factors."""


def rank_svd(change: Change) -> Ranking:
    """Triplets by falling energy ``s^2 sigma^2`` per encoded bit, head rows among them."""
    components = Components(change.base, change.frozen)
    layout = TripletLayout(components, change.quant_bits)
    parts: dict[int, Parts] = {}
    energies, errors = np.zeros(layout.lora_units), np.zeros(layout.lora_units)
    for module in components.modules:
        s = module_scaling(change.scaling, module.name)
        for place, (sigma, left, right) in enumerate(_triplets(change, module, components)):
            unit = layout.first[module.name] + place
            parts[unit] = _split(left, right, sigma)
            energies[unit] = (s * sigma) ** 2
            errors[unit] = s**2 * _rounding_energy(change, module, parts[unit])
    heads = head_energies(components, change.delta, change.kappa)
    energies = np.append(energies, heads)
    errors = np.append(errors, head_rounding_energies(components, change.delta, change.kappa, change.quant_bits))
    units = np.append(np.array(sorted(parts), dtype=np.int64), layout.lora_units + np.flatnonzero(heads))

    def write(unit: int, rng: np.random.Generator) -> tuple[bytes, int]:
        if unit >= layout.lora_units:
            return layout.head_record(unit, change.delta, rng), 0
        return layout.write(unit, parts[unit], rng), sum(layout.part_sizes(unit))

    return rank_units(change, layout, by_falling(energies / unit_bytes(layout), units), energies, errors, write)


def _triplets(change: Change, module: LoraModule, components: Components) -> Iterator[tuple[float, Matrix, Matrix]]:
    """(sigma, left, right) of the change of ``B A``, largest first; a frozen factor's side as coordinates."""
    b0, a0 = change.base[module.b_name].astype(np.float64), change.base[module.a_name].astype(np.float64)
    db, da = change.delta[module.b_name].astype(np.float64), change.delta[module.a_name].astype(np.float64)
    stacks = {"none": (np.hstack([db, b0]), np.vstack([a0 + da, da])), "a": (db, a0), "b": (b0, da)}
    left, right = stacks[change.frozen]
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right.T)
    u, values, vt = np.linalg.svd(r_left @ r_right.T)
    # In coordinates of the frozen factor: q = factor r^-1.
    lefts = _coordinates(r_left, u) if change.frozen == "b" else q_left @ u
    rights = _coordinates(r_right, vt.T) if change.frozen == "a" else q_right @ vt.T
    kept = int(np.sum(values > FLOAT32_ROUNDING * values[0])) if values[0] > 0.0 else 0
    for i in range(min(kept, triplets_of(module, components))):
        yield float(values[i]), lefts[:, i], rights[:, i]


def _coordinates(r: Matrix, vectors: Matrix) -> Matrix:
    solved: Matrix = np.linalg.lstsq(r, vectors, rcond=FLOAT32_ROUNDING)[0]
    return solved


def _split(left: Matrix, right: Matrix, sigma: float) -> Parts:
    """``sigma left right`` as two parts of one length."""
    share = np.sqrt(sigma * np.linalg.norm(right) / np.linalg.norm(left))
    parts = (left * share).astype(np.float32), (right * (sigma / share)).astype(np.float32)
    if max(np.max(np.abs(part)) for part in parts) > PART_LIMIT:
        raise DataError("local update: a singular triplet is absurdly large; lower training.learning_rate")
    return parts


def _rounding_energy(change: Change, module: LoraModule, parts: Parts) -> float:
    """Expected ``|left right - its rounded form|_F^2``."""
    b0 = change.base[module.b_name].T if change.frozen == "b" else None
    a0 = change.base[module.a_name] if change.frozen == "a" else None
    left, v_left = _energy_and_error(parts[0], b0, change.quant_bits)
    right, v_right = _energy_and_error(parts[1], a0, change.quant_bits)
    return v_left * right + left * v_right + v_left * v_right


def _energy_and_error(part: NDArray[np.float32], factor: NDArray[np.float32] | None, bits: int) -> tuple[float, float]:
    """Squared length of a part and of its expected rounding error; of coordinates, in rows of the frozen ``factor``."""
    value, error = part.astype(np.float64), rounding_variances(part[None, :], bits)[0]
    if factor is None:
        return float(value @ value), float(error.sum())
    rows = factor.astype(np.float64)
    return float(np.sum((value @ rows) ** 2)), float(error @ np.sum(rows**2, axis=1))
