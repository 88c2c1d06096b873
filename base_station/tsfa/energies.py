"""One common scale for the error energies of a round."""

from __future__ import annotations

from collections.abc import Sequence

from base_station.tsfa.problem import CurvePoint


def scale_energies(
    curves: Sequence[Sequence[CurvePoint]], weights: Sequence[float], floor: float, power: float
) -> list[list[CurvePoint]]:
    """Divide all energies by Ebar = sum of weight x zero-bit energy, but at least ``floor`` (> 0).

    One scale for all clients, never each client's own total, so a client that learnt little asks for
    little; V then means the same in every round (ours). Before that each energy becomes its share of the client's
    zero-bit energy raised to ``power`` (at least 1), times that zero-bit energy: ``tsfa.error_power`` (ours).
    """
    total = sum(weight * curve[0][1] for weight, curve in zip(weights, curves, strict=True))
    scale = max(total, floor)
    return [[(bits, _powered(energy, curve[0][1], power) / scale) for bits, energy in curve] for curve in curves]


def _powered(energy: float, whole: float, power: float) -> float:
    return whole * (energy / whole) ** power if whole > 0.0 and power != 1.0 else energy
