"""Burst modem: known training, pilots and coded blocks of one grant, to samples and back.

``modulate`` and ``receive`` are the two halves; ``layout`` tells how long a burst is. Pure functions on
arrays; gr-fec (C++ kernels, called without a flowgraph) is loaded when the first block is coded, numba with
``modulate`` and ``receive``. May import protocol and radio.numerology only; ``trial``, which puts a channel between
the two, also radio.channel and the flowgraphs' filters.
"""

from typing import TYPE_CHECKING, Any

from radio.modem.layout import (
    MAX_BURST_SAMPLES,
    branch_samples,
    burst_air_samples,
    burst_coded_bits,
    burst_decimation,
    max_blocks,
)
from radio.modem.mcs import BLOCK_FORMATS, MCS_NAMES, Mcs, McsTable
from radio.modem.spectrum import measure_silence, spectrum, spectrum_db

if TYPE_CHECKING:
    from radio.modem.receiver import receive
    from radio.modem.transmitter import modulate

__all__ = [
    "BLOCK_FORMATS",
    "MAX_BURST_SAMPLES",
    "MCS_NAMES",
    "Mcs",
    "McsTable",
    "branch_samples",
    "burst_air_samples",
    "burst_coded_bits",
    "burst_decimation",
    "max_blocks",
    "measure_silence",
    "modulate",
    "receive",
    "spectrum",
    "spectrum_db",
]


def __getattr__(name: str) -> Any:
    # Most of those who ask for lengths of bursts never modulate one; numba would cost them a quarter of a second.
    if name == "modulate":
        from radio.modem.transmitter import modulate

        return modulate
    if name == "receive":
        from radio.modem.receiver import receive

        return receive
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
