"""Gain tables of transmitter and receiver from levels of a tone at many pairs of settings.

A reading is path + transmitter's gain + receiver's gain; weighted least squares takes them apart, up to the two
settings that are the reference. Source: ours (a two-way additive model).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import RadioError
from radio.quantity import Quantity

LEAST_READING_DB = 0.02
"""No reading is taken to be surer than this: the converter's own nonlinearity."""
STRANGE = 8.0
"""A reading does not fit that is so many of the others' deviations from the model."""
MEDIAN_OF_NORMAL = 0.6745
_ROBUST_STEPS = 20
LARGEST_REJECTED = 0.2
"""Share of the readings that may not fit."""


@dataclass(frozen=True)
class Reading:
    """Level of the tone at one pair of settings, dB over full scale, its own digital level taken off."""

    transmit_db: float
    receive_db: float
    level_db: Quantity


@dataclass(frozen=True)
class GainTables:
    """Gains by setting; at the reference settings a gain is the setting itself, by definition.

    ``path_db``: level of a reading at settings 0 and 0 by these gains.
    """

    transmit: dict[float, Quantity]
    receive: dict[float, Quantity]
    path_db: Quantity
    residual_db: float
    """RMS of what the model leaves unexplained."""
    readings: list[Reading]
    """Those that fit."""


def fit_gains(readings: Sequence[Reading], transmit_reference_db: float, receive_reference_db: float) -> GainTables:
    """Gain tables of all settings in ``readings``; those that do not fit (samples were lost) are left out.

    Raises RadioError if no chain of readings joins all settings, or if too many do not fit.
    """
    everything = _System(readings, transmit_reference_db, receive_reference_db)
    fits = everything.fits()
    if np.count_nonzero(~fits) > LARGEST_REJECTED * len(readings):
        raise RadioError(
            f"gain steps: more than {100 * LARGEST_REJECTED:.0f} % of the levels do not fit; something else sends, or "
            "this machine is too busy: try again"
        )
    kept = [reading for reading, fit in zip(readings, fits, strict=True) if fit]
    return _System(kept, transmit_reference_db, receive_reference_db).tables()


class _System:
    """How far each gain is from its setting: path first, then transmitter, then receiver."""

    def __init__(self, readings: Sequence[Reading], transmit_reference_db: float, receive_reference_db: float) -> None:
        self._readings = list(readings)
        self._references_db = transmit_reference_db, receive_reference_db
        self._transmit = sorted({r.transmit_db for r in readings} - {transmit_reference_db})
        self._receive = sorted({r.receive_db for r in readings} - {receive_reference_db})
        self._after = 1 + len(self._transmit)
        self._design = np.zeros((len(readings), self._after + len(self._receive)))
        self._design[:, 0] = 1.0
        for row, reading in zip(self._design, readings, strict=True):
            if reading.transmit_db != transmit_reference_db:
                row[1 + self._transmit.index(reading.transmit_db)] = 1.0
            if reading.receive_db != receive_reference_db:
                row[self._after + self._receive.index(reading.receive_db)] = 1.0
        if np.linalg.matrix_rank(self._design) < self._design.shape[1]:
            raise RadioError("gain steps: no chain of readings joins all settings; try again, or another attenuation")
        # What a gain is off its setting, so that the fit is of small numbers.
        self._wanted = np.array([r.level_db.value - r.transmit_db - r.receive_db for r in readings])
        self._weights = 1.0 / np.array([max(r.level_db.uncertainty, LEAST_READING_DB) for r in readings])

    def fits(self) -> NDArray[np.bool_]:
        """Which readings fit. Deviations count by their size, not its square, so that strange ones do not hide."""
        weights = self._weights
        for _ in range(_ROBUST_STEPS):
            _, _, residuals = _solve(self._design, self._wanted, weights)
            strange = np.abs(residuals * self._weights)
            weights = self._weights / np.sqrt(np.maximum(strange, 1.0))
        scale = max(1.0, float(np.median(strange)) / MEDIAN_OF_NORMAL)
        fits: NDArray[np.bool_] = strange <= STRANGE * scale
        return fits

    def tables(self) -> GainTables:
        """Least squares, as gains."""
        errors, deviations, residuals = _solve(self._design, self._wanted, self._weights)

        def table(settings: list[float], first: int, reference_db: float) -> dict[float, Quantity]:
            entries = {s: Quantity(s + errors[first + i], deviations[first + i]) for i, s in enumerate(settings)}
            return dict(sorted({**entries, reference_db: Quantity(reference_db, 0.0)}.items()))

        return GainTables(
            transmit=table(self._transmit, 1, self._references_db[0]),
            receive=table(self._receive, self._after, self._references_db[1]),
            path_db=Quantity(errors[0], deviations[0]),
            residual_db=math.sqrt(float(np.mean(residuals**2))),
            readings=self._readings,
        )


def _solve(
    design: NDArray[np.float64], wanted: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[list[float], list[float], NDArray[np.float64]]:
    """Weighted least squares: solution, its standard deviations, residuals.

    The deviations grow with residuals that are larger than the readings' own uncertainties.
    """
    weighted = design * weights[:, None]
    solution, *_ = np.linalg.lstsq(weighted, wanted * weights, rcond=None)
    residuals = wanted - design @ solution
    freedom = len(wanted) - design.shape[1]
    excess = float(np.sum((residuals * weights) ** 2)) / freedom if freedom > 0 else 1.0
    covariance = np.linalg.inv(weighted.T @ weighted) * max(1.0, excess)
    deviations = np.sqrt(np.diag(covariance))
    return solution.tolist(), deviations.tolist(), residuals
