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


def fit_gains(readings: Sequence[Reading], transmit_reference_db: float, receive_reference_db: float) -> GainTables:
    """Gain tables of all settings in ``readings``. Raises RadioError if no chain of readings joins them."""
    transmit = sorted({r.transmit_db for r in readings} - {transmit_reference_db})
    receive = sorted({r.receive_db for r in readings} - {receive_reference_db})
    columns = 1 + len(transmit) + len(receive)
    design = np.zeros((len(readings), columns))
    design[:, 0] = 1.0
    for row, reading in zip(design, readings, strict=True):
        if reading.transmit_db != transmit_reference_db:
            row[1 + transmit.index(reading.transmit_db)] = 1.0
        if reading.receive_db != receive_reference_db:
            row[1 + len(transmit) + receive.index(reading.receive_db)] = 1.0
    # What a gain is off its setting, so that the fit is of small numbers.
    wanted = np.array([r.level_db.value - r.transmit_db - r.receive_db for r in readings])
    weights = 1.0 / np.array([max(r.level_db.uncertainty, LEAST_READING_DB) for r in readings])
    if np.linalg.matrix_rank(design) < columns:
        raise RadioError("gain steps: no chain of readings joins all settings; use smaller steps")
    errors, sigma, residual = _solve(design, wanted, weights)

    def table(settings: list[float], first: int, reference_db: float) -> dict[float, Quantity]:
        entries = {s: Quantity(s + errors[first + i], sigma[first + i]) for i, s in enumerate(settings)}
        return dict(sorted({**entries, reference_db: Quantity(reference_db, 0.0)}.items()))

    return GainTables(
        transmit=table(transmit, 1, transmit_reference_db),
        receive=table(receive, 1 + len(transmit), receive_reference_db),
        path_db=Quantity(errors[0], sigma[0]),
        residual_db=residual,
    )


def _solve(
    design: NDArray[np.float64], wanted: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[list[float], list[float], float]:
    """Weighted least squares: solution, its standard deviations, RMS residual.

    The deviations grow with residuals that are larger than the readings' own uncertainties.
    """
    weighted = design * weights[:, None]
    solution, *_ = np.linalg.lstsq(weighted, wanted * weights, rcond=None)
    residuals = wanted - design @ solution
    freedom = len(wanted) - design.shape[1]
    excess = float(np.sum((residuals * weights) ** 2)) / freedom if freedom > 0 else 1.0
    covariance = np.linalg.inv(weighted.T @ weighted) * max(1.0, excess)
    deviations = np.sqrt(np.diag(covariance))
    return solution.tolist(), deviations.tolist(), math.sqrt(float(np.mean(residuals**2)))
