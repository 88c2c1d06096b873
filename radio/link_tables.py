"""Block error rate of every MCS against SNR, measured with this modem over a flat AWGN channel.

The shipped file ``radio/data/link_tables.json`` says how it was made; ``python -m radio.measure_link_tables``
makes it again. SNR is received power over noise power of a loaded subcarrier, which is what a receiver measures per RB.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.configuration import CodecName
from protocol.errors import ConfigurationError, DataError
from radio.modem.mcs import McsTable

LINK_TABLES_FILE = Path(__file__).parent / "data" / "link_tables.json"
SMALLEST_RATE = 1e-6
"""Extrapolation beyond the last measured point stops here."""


class LinkPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks sent at one SNR, and those lost (not detected or CRC failed)."""

    snr_db: float
    blocks: int
    errors: int


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the tables of a codec were made."""

    date: str
    command: str
    versions: dict[str, str]
    seed: int
    block_bytes: int
    """Payload of a code block; follows from the MCS, as does the codec."""
    rb_count: int
    payload_bits: int
    """Of a burst, about: rounded to whole blocks, less where the longest burst holds less."""
    most_bursts: int
    """Bursts of a point at which few blocks are lost; fewer elsewhere."""
    channel: str


class CodecTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points per MCS, ascending in SNR."""

    provenance: Provenance
    points: dict[str, list[LinkPoint]]


LinkTablesFile = dict[CodecName, CodecTables]
"""The file's content."""


@dataclass(frozen=True, eq=False)
class _Curve:
    """Natural logarithm of the block error rate, non-increasing in SNR."""

    snr_db: NDArray[np.float64]
    log_rate: NDArray[np.float64]


class Knots(NamedTuple):
    """All curves as tables, (schemes, points); shorter ones are padded: SNRs with infinity, the rest with 0."""

    snr_db: NDArray[np.float64]
    log_rate: NDArray[np.float64]
    slope: NDArray[np.float64]
    """From each point to the next; 0 from the last."""
    points: NDArray[np.int64]
    """(schemes,), as what follows."""
    last_snr_db: NDArray[np.float64]
    last_slope: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinkTables:
    """Interpolated tables; linear in the logarithm of the rate, made monotone."""

    curves: dict[str, _Curve]
    provenance: dict[CodecName, Provenance]

    @staticmethod
    @lru_cache(maxsize=4)
    def load(path: Path = LINK_TABLES_FILE) -> LinkTables:
        """Read a table file. Raises DataError if it is missing, damaged or empty."""
        try:
            content = msgspec.json.decode(path.read_bytes(), type=LinkTablesFile)
            if not content:
                raise ValueError("it holds no table")
            curves = {mcs: _curve(points) for tables in content.values() for mcs, points in tables.points.items()}
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise DataError(
                f"{path}: link tables cannot be read: {error}; make them with python -m radio.measure_link_tables"
            ) from error
        return LinkTables(curves, {codec: tables.provenance for codec, tables in content.items()})

    def of(self, codec: CodecName) -> LinkTables:
        """The tables of one codec's schemes. Raises DataError if none of them was measured."""
        names = [scheme.name for scheme in McsTable.load().of(codec) if scheme.name in self.curves]
        if not names:
            raise DataError(f"the link tables hold no scheme of codec '{codec}'; choose another radio.codec")
        return LinkTables({name: self.curves[name] for name in names}, {codec: self.provenance[codec]})

    @property
    def mcs_names(self) -> tuple[str, ...]:
        """Schemes with a table, in file order."""
        return tuple(self.curves)

    def block_error_rate(self, mcs: str, snr_db: float) -> float:
        """Share of code blocks lost at ``snr_db``, between 1e-6 and 1. Raises ConfigurationError on an unknown MCS."""
        return float(self.block_error_rates(mcs, np.array([snr_db]))[0])

    def block_error_rates(self, mcs: str, snr_db: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for an array of SNRs."""
        curve = self._curve(mcs)
        first, last = curve.snr_db[0], curve.snr_db[-1]
        log_rate = np.interp(snr_db, curve.snr_db, curve.log_rate)
        log_rate += _last_slope(curve) * np.maximum(snr_db - last, 0.0)
        rates: NDArray[np.float64] = np.where(snr_db < first - 0.5, 1.0, np.maximum(np.exp(log_rate), SMALLEST_RATE))
        return rates

    @cached_property
    def knots(self) -> Knots:
        """The same for compiled loops."""
        curves = list(self.curves.values())
        width = max(len(curve.snr_db) for curve in curves)

        def padded(rows: list[NDArray[np.float64]], fill: float) -> NDArray[np.float64]:
            return np.array([np.pad(row, (0, width - len(row)), constant_values=fill) for row in rows])

        return Knots(
            snr_db=padded([curve.snr_db for curve in curves], np.inf),
            log_rate=padded([curve.log_rate for curve in curves], 0.0),
            slope=padded([np.diff(curve.log_rate) / np.diff(curve.snr_db) for curve in curves], 0.0),
            points=np.array([len(curve.snr_db) for curve in curves]),
            last_snr_db=np.array([curve.snr_db[-1] for curve in curves]),
            last_slope=np.array([_last_slope(curve) for curve in curves]),
        )

    def usable_from_db(self, block_error_rate: float) -> NDArray[np.float64]:
        """SNR below which each scheme loses more than ``block_error_rate`` for certain, dB, (schemes,)."""
        target = math.log(max(block_error_rate, SMALLEST_RATE))
        least = [
            curve.snr_db[0] - 0.5 if curve.log_rate[0] <= target else self.required_snr_db(mcs, block_error_rate)
            for mcs, curve in self.curves.items()
        ]
        return np.array(least)

    def required_snr_db(self, mcs: str, block_error_rate: float) -> float:
        """Least SNR at which at most ``block_error_rate`` of the blocks are lost, dB."""
        return _required_snr_db(self._curve(mcs), block_error_rate)

    def _curve(self, mcs: str) -> _Curve:
        if mcs not in self.curves:
            raise ConfigurationError(f"no link table for MCS '{mcs}'; there are: {', '.join(self.curves)}")
        return self.curves[mcs]


def _curve(points: list[LinkPoint]) -> _Curve:
    if len(points) < 2:
        raise ValueError("a table needs at least two points")
    snr_db = np.array([point.snr_db for point in points])
    if np.any(np.diff(snr_db) <= 0):
        raise ValueError("points must ascend in SNR")
    # Half an error more, half a correct block more: no rate is exactly 0 or 1.
    rate = np.array([(point.errors + 0.5) / (point.blocks + 1.0) for point in points])
    return _Curve(snr_db, np.log(np.minimum.accumulate(rate)))


@lru_cache(maxsize=1024)
def _required_snr_db(curve: _Curve, block_error_rate: float) -> float:
    target = math.log(max(block_error_rate, SMALLEST_RATE))
    if target < curve.log_rate[-1]:
        return float(curve.snr_db[-1] + (target - curve.log_rate[-1]) / _last_slope(curve))
    # Ascending in the rate: the first point at or below the target bounds it from above.
    after = bisect.bisect_left(list(-curve.log_rate), -target)
    if after == 0:
        return float(curve.snr_db[0])
    high, low = curve.log_rate[after - 1], curve.log_rate[after]
    share = (high - target) / (high - low)
    return float(curve.snr_db[after - 1] + share * (curve.snr_db[after] - curve.snr_db[after - 1]))


def _last_slope(curve: _Curve) -> float:
    """Fall of the logarithm per dB at the end of the table, over its last three steps."""
    first = max(len(curve.snr_db) - 4, 0)
    rise = curve.log_rate[-1] - curve.log_rate[first]
    return min(float(rise / (curve.snr_db[-1] - curve.snr_db[first])), -0.5)
