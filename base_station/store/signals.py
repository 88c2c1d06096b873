"""What bursts and windows looked like: packed small for the run's database, unpacked for figures.

Symbols are float16 pairs, everything in dB is int16 hundredths of dB; both little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_station.store.records import SignalRecord, SpectrumRecord
from protocol.bursts import BurstReport, Window, WindowReport
from protocol.errors import RunError

CONSTELLATION_POINTS = 256
_LARGEST_COORDINATE = 100.0
_STEPS_PER_DB = 100
_LARGEST_STEP = 2**15 - 1


def signal_record(window: Window, report: BurstReport) -> SignalRecord:
    """What ``report`` shows of a detected burst."""
    points = np.frombuffer(report.constellation, "<c8")
    return SignalRecord(
        round_index=window.round_index, window_index=window.index, client=report.client,
        constellation=_packed_points(points), channel=packed_db(report.channel_db), sinr=packed_db(report.sinr_db),
        soft_bits=list(report.soft_bits),
    )  # fmt: skip


def spectrum_record(report: WindowReport) -> SpectrumRecord:
    """The spectrum of a window."""
    window = report.window
    return SpectrumRecord(
        round_index=window.round_index, window_index=window.index, kind=window.kind, psd=packed_db(report.psd_db)
    )


def packed_db(values: Sequence[float]) -> bytes:
    """Values in dB as int16 hundredths, clipped to +-327.67 dB."""
    steps = np.rint(_STEPS_PER_DB * np.asarray(values, np.float64))
    kept: NDArray[np.int16] = np.clip(steps, -_LARGEST_STEP, _LARGEST_STEP).astype("<i2")
    return kept.tobytes()


def unpacked(column: str, data: bytes) -> NDArray[Any]:
    """A packed column: complex64 for ``constellation``, else dB as float64. Raises RunError if it is damaged."""
    dtype = np.dtype("<f2" if column == "constellation" else "<i2")
    unit = dtype.itemsize * (2 if column == "constellation" else 1)
    if len(data) % unit:
        raise RunError(f"a stored {column} is damaged: {len(data)} bytes are no multiple of {unit}")
    values = np.frombuffer(data, dtype)
    if column == "constellation":
        points: NDArray[np.complex64] = values.astype(np.float32).view(np.complex64)
        return points
    decibels: NDArray[np.float64] = values.astype(np.float64) / _STEPS_PER_DB
    return decibels


def _packed_points(points: NDArray[np.complex64]) -> bytes:
    index = np.linspace(0, len(points) - 1, min(len(points), CONSTELLATION_POINTS)).astype(np.int64)
    coordinates = np.ascontiguousarray(points[index]).view(np.float32)
    kept: NDArray[np.float16] = np.clip(coordinates, -_LARGEST_COORDINATE, _LARGEST_COORDINATE).astype("<f2")
    return kept.tobytes()
