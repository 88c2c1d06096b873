"""The picture of a burst's soft bits: how sure the demapper was, before any decoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import SOFT_BIT_BINS, SOFT_BIT_REACH, DataBurst
from radio.modem.constellations import Constellation
from radio.modem.mcs import McsTable

_SYMBOLS = 1024
"""Symbols looked at, spread over the burst: some thousand bits are enough for a picture."""


def soft_bit_histogram(burst: DataBurst, symbols: NDArray[np.complex64], snr: NDArray[np.float32]) -> list[int]:
    """Counts of soft bits in ``SOFT_BIT_BINS`` equal bins from -``SOFT_BIT_REACH`` to +``SOFT_BIT_REACH``.

    ``symbols``: equalised data symbols, ``snr``: their linear SNR. Soft bits beyond the reach count in the outermost
    bins. As demapped: descrambling would only turn signs that are random already.
    """
    index = np.linspace(0, len(symbols) - 1, min(len(symbols), _SYMBOLS)).astype(np.int64)
    constellation = Constellation.of(McsTable.load()[burst.mcs].bits_per_symbol)
    soft = constellation.soft_bits(symbols[index], snr[index]).ravel()
    inside = np.clip(soft, -SOFT_BIT_REACH, SOFT_BIT_REACH)
    counts: list[int] = np.histogram(inside, SOFT_BIT_BINS, (-SOFT_BIT_REACH, SOFT_BIT_REACH))[0].tolist()
    return counts
