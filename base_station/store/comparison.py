"""Whether two runs remember the same: wall-clock columns aside, estimated reals to 1e-3."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from base_station.store.run_store import RunStore
from base_station.store.schema import TABLES
from base_station.store.signals import unpacked

_RELATIVE = 1e-3
_ABSOLUTE = 1e-6


def same_records(a: Path, b: Path) -> bool:
    """Whether two run directories hold the same records."""
    return not record_differences(a, b)


def record_differences(a: Path, b: Path) -> list[str]:
    """One line per field that differs between two runs (``rounds[3].accuracy: 0.61 / 0.62``)."""
    with RunStore.read(a) as first, RunStore.read(b) as second:
        return [
            line
            for table in TABLES
            for index, pair in enumerate(zip_longest(first.records(table), second.records(table)))
            for line in _differences(f"{table.name}[{index}]", *pair)
        ]


def _differences(where: str, a: Struct | None, b: Struct | None) -> Iterator[str]:
    if a is None or b is None:
        yield f"{where}: only in {'the second' if a is None else 'the first'} run"
        return
    for field in msgspec.structs.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, bytes) and isinstance(y, bytes):
            x, y = list(unpacked(field.name, x)), list(unpacked(field.name, y))
        if not field.name.endswith("wall_s") and not _close(x, y):
            yield f"{where}.{field.name}: {_short(x)} / {_short(y)}"


def _close(x: Any, y: Any) -> bool:
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(_close, x, y))
    if isinstance(x, np.complexfloating):
        return bool(np.isclose(x, y, rtol=_RELATIVE, atol=_RELATIVE))
    if isinstance(x, float | np.floating) and isinstance(y, float | np.floating):
        both_missing = math.isnan(x) and math.isnan(y)
        return both_missing or math.isclose(x, y, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return bool(x == y)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
