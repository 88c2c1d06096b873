"""What a client can send with every contiguous grant of the band: goodput, MCS and power by size and place.

Pure functions of the measured SINR of each RB. Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from radio.numerology import Numerology
from radio.rates import Grants, LinkRule, Sinr, best_mcs

NARROW = 2
"""RBs of the grants that tell of most clients whether they are heard."""
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class PowerLimits:
    """What bounds a client's power per RB besides its total power."""

    psd_cap_db: float
    """Power per RB over its level at full power and full band."""
    received_cap_db: float = math.inf
    """SNR per RB, mean over the grant, at the base station."""


@dataclass(frozen=True, eq=False)
class PlacedRates:
    """Arrays (K, K) at [k - 1, start]: k RBs from RB ``start`` on; 0 where that is not usable."""

    rate_bps: NDArray[np.float64]
    mcs: NDArray[np.int64]
    """Place of the MCS in the rule's tables."""
    cap_db: NDArray[np.float64]
    """What the limits leave of power per RB, over its level at full power and full band."""
    power_db: NDArray[np.float64]
    """Power of the whole grant, full power 0: all of it, or what ``cap_db`` allows."""
    gain_db: NDArray[np.float64]
    """SINR in the grant's RBs over the reference."""

    @property
    def heard(self) -> bool:
        """Whether any grant is usable."""
        return bool(self.rate_bps.any())

    def rows(self) -> list[list[float]]:
        """``rate_bps_at`` of a TSFA instance."""
        total = len(self.rate_bps)
        return [row[: total - index].tolist() for index, row in enumerate(self.rate_bps)]

    def best_within(self, rb_start: int, rb_count: int) -> tuple[int, int] | None:
        """(start, count) of the fastest grant inside ``rb_count`` RBs from ``rb_start`` on; None: none is usable."""
        total = len(self.rate_bps)
        count, start = np.meshgrid(np.arange(1, total + 1), np.arange(total), indexing="ij")
        inside = (start >= rb_start) & (start + count <= rb_start + rb_count)
        rates = np.where(inside, self.rate_bps, 0.0)
        row, column = divmod(int(rates.argmax()), total)
        return (column, row + 1) if rates[row, column] > 0.0 else None


def placed_rates(
    rule: LinkRule, reference_sinr_db: Sinr, limits: PowerLimits, offset_db: float, barred: Collection[int] = ()
) -> PlacedRates:
    """Rates of a client whose full-band, full-power SINR is ``reference_sinr_db``: as many values in every RB.

    With k of K RBs the power per RB is 10 log10(K / k) above the reference, or what ``limits`` leave of that.
    ``offset_db`` is taken off the SINR before an MCS is chosen. A grant may not contain a ``barred`` RB.
    """
    placed = _placed(rule, reference_sinr_db, limits, offset_db, barred, rule.numerology.rb_total)
    table = placed.places.table
    return PlacedRates(
        table(placed.rate), table(placed.mcs), table(placed.cap_db), table(placed.power_db), table(placed.gain_db)
    )


def is_heard(
    rule: LinkRule, reference_sinr_db: Sinr, limits: PowerLimits, offset_db: float, barred: Collection[int] = ()
) -> bool:
    """Whether any grant is usable (``placed_rates(...).heard``); narrow ones, of most power per RB, are tried first."""
    return any(
        _placed(rule, reference_sinr_db, limits, offset_db, barred, widest).rate.any()
        for widest in (NARROW, rule.numerology.rb_total)
    )


def _placed(
    rule: LinkRule, reference_sinr_db: Sinr, limits: PowerLimits, offset_db: float, barred: Collection[int],
    widest: int,
) -> _Placed:  # fmt: skip
    """Every grant of at most ``widest`` RBs."""
    reference_db = np.asarray(reference_sinr_db, float).reshape(rule.numerology.rb_total, -1)
    places = _placements(rule.numerology, widest)
    grants = Grants(places.rb_start, places.rb_count, reference_db[places.rb].ravel())
    power = grants.mean((10.0 ** (0.1 * reference_db))[places.rb].ravel())
    cap_db = np.minimum(limits.psd_cap_db, limits.received_cap_db - 10.0 * np.log10(power))
    power_db = np.minimum(0.0, cap_db - places.density_db)
    gain_db = power_db + places.loaded_density_db
    values = reference_db.shape[1] * grants.rb_count
    rate, mcs = best_mcs(rule, replace(grants, sinr_db=grants.sinr_db + np.repeat(gain_db, values)), offset_db)
    for rb in barred:
        rate[(grants.rb_start <= rb) & (rb < grants.rb_start + grants.rb_count)] = 0.0
    return _Placed(places, rate, mcs, cap_db, power_db, gain_db)


@dataclass(frozen=True, eq=False)
class _Placements:
    """Every contiguous grant of a band, (P,) each."""

    rb_start: NDArray[np.int64]
    rb_count: NDArray[np.int64]
    rb: NDArray[np.int64]
    """RBs of grant after grant."""
    density_db: NDArray[np.float64]
    """Power per RB of a grant at full power over the full band's: 10 log10(K / k)."""
    loaded_density_db: NDArray[np.float64]
    """The same per loaded subcarrier: the carrier's three are never loaded."""

    def table(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """``values`` (P,) of a whole band's grants at [k - 1, start], 0 elsewhere."""
        total = int(self.rb_count.max())
        table = np.zeros((total, total), values.dtype)
        table[self.rb_count - 1, self.rb_start] = values
        return table


class _Placed(NamedTuple):
    """As in ``PlacedRates``, by grant, (P,) each."""

    places: _Placements
    rate: NDArray[np.float64]
    mcs: NDArray[np.int64]
    cap_db: NDArray[np.float64]
    power_db: NDArray[np.float64]
    gain_db: NDArray[np.float64]


@lru_cache(maxsize=8)
def _placements(numerology: Numerology, widest: int) -> _Placements:
    """Those of at most ``widest`` RBs."""
    total = numerology.rb_total
    pairs = [(start, count) for count in range(1, widest + 1) for start in range(total - count + 1)]
    loaded = np.array([len(numerology.loaded_subcarriers(start, count)) for start, count in pairs])
    whole_band = len(numerology.loaded_subcarriers(0, total))
    start, count = np.array(pairs).T.copy()
    return _Placements(
        rb_start=start,
        rb_count=count,
        rb=np.concatenate([np.arange(first, first + n) for first, n in pairs]),
        density_db=10.0 * np.log10(total / count),
        loaded_density_db=10.0 * np.log10(whole_band / loaded),
    )
