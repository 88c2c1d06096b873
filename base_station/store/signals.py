"""Samples of the pictures of received signals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from base_station.store.records import SignalRecord
from protocol.errors import RunError

_SAMPLE_TYPES = {"complex64": "<c8", "<c8": "<c8", "float32": "<f4", "<f4": "<f4"}


def samples(signal: SignalRecord) -> npt.NDArray[Any]:
    """The samples of ``signal`` as complex64 or float32. Raises RunError if they cannot be that."""
    dtype = _SAMPLE_TYPES.get(signal.dtype)
    if dtype is None or len(signal.data) % np.dtype(dtype).itemsize:
        raise RunError(f"round {signal.round_index}: the stored {signal.kind} of '{signal.client}' is damaged")
    return np.frombuffer(signal.data, dtype)
