"""One common scale for the error energies of a round."""

from __future__ import annotations

from collections.abc import Sequence

from base_station.tsfa.problem import CurvePoint


def scale_energies(
    curves: Sequence[Sequence[CurvePoint]], weights: Sequence[float], floor: float
) -> list[list[CurvePoint]]:
    """Divide all energies by Ebar = sum of weight x zero-bit energy, but at least ``floor`` (> 0).

    One scale for all clients, never each client's own total, so a client that learnt little asks for
    little; V then means the same in every round (ours).
    """
    total = sum(weight * curve[0][1] for weight, curve in zip(weights, curves, strict=True))
    scale = max(total, floor)
    return [[(bits, energy / scale) for bits, energy in curve] for curve in curves]
