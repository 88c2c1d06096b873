"""Path loss over distance: the log-distance law fitted to the mean gains of all places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from calibration.campaign.estimates import DB_PER_NEPER
from calibration.campaign.records import Sounding
from calibration.campaign.series import correlated_soundings
from radio.quantity import Quantity

Array = NDArray[np.float64]
LEAST_DISTANCES = 3


class PathLossFit(Struct, frozen=True):
    """``loss = loss_1m_db + 10 exponent log10(distance)``, and how far places lie from it."""

    exponent: Quantity
    loss_1m_db: Quantity
    shadowing_db: float
    """Standard deviation of places around the law."""
    r_squared: float
    """Share of the losses' variance that distance explains."""
    distance_m: list[float]
    """Of each place."""
    loss_db: list[float]
    """Mean loss of each place: of its mean power."""


def path_loss(soundings: Sequence[Sounding]) -> PathLossFit | None:
    """Least squares over places (transmitter, receiver and where both are); None of fewer than three distances.

    A sounding that was not heard leaves its place out of the fit, which would else be biased to what was heard.
    """
    places: dict[tuple[object, ...], list[Sounding]] = {}
    for sounding in soundings:
        if sounding.distance_m is not None and sounding.distance_m > 0.0:
            key = (sounding.transmitter, sounding.receiver, sounding.distance_m)
            places.setdefault(key, []).append(sounding)
    heard = [group for group in places.values() if all(s.detected for s in group)]
    distance_m = np.array([group[0].distance_m for group in heard], float)
    if len(set(distance_m.tolist())) < LEAST_DISTANCES:
        return None
    loss_db = np.array([-10.0 * math.log10(np.mean([s.mean_gain for s in group])) for group in heard])
    design = np.column_stack([np.ones(len(distance_m)), 10.0 * np.log10(distance_m)])
    solution, *_ = np.linalg.lstsq(design, loss_db, rcond=None)
    residual = loss_db - design @ solution
    freedom = max(len(heard) - 2, 1)
    variance = float(residual @ residual) / freedom
    # By how places lie around the law, or by how sure their means are, whichever is more.
    inverse = np.linalg.inv(design.T @ design)
    own = _mean_errors_db(heard)
    carried = inverse @ design.T
    spread = np.sqrt(np.maximum(np.diag(inverse) * variance, np.diag((carried * own**2) @ carried.T)))
    total = float(np.sum((loss_db - loss_db.mean()) ** 2))
    return PathLossFit(
        exponent=Quantity(float(solution[1]), float(spread[1])),
        loss_1m_db=Quantity(float(solution[0]), float(spread[0])),
        shadowing_db=math.sqrt(variance), r_squared=1.0 - float(residual @ residual) / total if total > 0.0 else 0.0,
        distance_m=distance_m.tolist(), loss_db=loss_db.tolist(),
    )  # fmt: skip


def _mean_errors_db(groups: Sequence[Sequence[Sounding]]) -> Array:
    """Standard deviation of each place's mean power, dB, from how soundings scatter, (places,).

    How long fading lasts, and how strong it is at least, is read off the place with most soundings: a short stay sees
    too little of it.
    """
    gains = [np.array([s.mean_gain for s in group]) for group in groups]
    longest = max(gains, key=len)
    block, scatter = correlated_soundings(longest[:, None]), _scatter(longest)
    return np.array([
        DB_PER_NEPER * max(scatter, _scatter(gain)) / math.sqrt(max(len(gain) / block, 1.0)) for gain in gains
    ])  # fmt: skip


def _scatter(gain: Array) -> float:
    """Standard deviation over the mean."""
    return float(gain.std(ddof=1) / gain.mean()) if len(gain) > 1 else 0.0
