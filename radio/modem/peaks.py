"""Peaks between the points of a grid."""

from __future__ import annotations


def vertex(left: float, peak: float, right: float) -> float:
    """Offset of a parabola's vertex from the middle of three equidistant values, in steps."""
    curvature = left - 2.0 * peak + right
    return 0.5 * (left - right) / curvature if curvature < 0 else 0.0
