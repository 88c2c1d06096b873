"""Transmit flowgraph: a burst at the branch rate becomes the window's samples at the full rate.

burst source -> interpolating filter -> rotator (grant centre and carrier correction) -> sink
"""

from __future__ import annotations

import math

import numpy as np
from gnuradio import blocks, filter, gr
from numpy.typing import NDArray

from protocol.bursts import Burst
from radio.flowgraphs.filters import Taps, transmit_taps
from radio.flowgraphs.memory_stream import Sink, fix_chunks, source
from radio.modem.layout import burst_decimation
from radio.numerology import Numerology

CHUNK = 4096
"""Samples of every call of a block."""


def transmit_samples(
    burst: Burst, baseband: NDArray[np.complex64], numerology: Numerology, start: int, n_samples: int
) -> NDArray[np.complex64]:
    """Run the flowgraph; returns complex64 (n_samples,), zero but for the burst.

    ``baseband``: the modulated burst at the branch rate, centred on its grant, complex64. Its first sample comes at
    full-rate sample ``start``; the filter's run-in and run-out lie around it, nothing is cut.
    """
    interpolation = burst_decimation(burst, numerology)
    taps = transmit_taps(numerology, burst)
    delay = (len(taps) - 1) // 2
    shift_hz = numerology.centre_hz(burst.rb_start, burst.rb_count) + burst.cfo_correction_hz
    window = np.zeros(n_samples, np.complex64)
    burst_window = window[start - delay :][: len(baseband) * interpolation + 2 * delay]
    _run(baseband, taps, interpolation, shift_hz / numerology.sample_rate_hz, burst_window)
    return window


def _run(
    baseband: NDArray[np.complex64],
    taps: Taps,
    interpolation: int,
    cycles_per_sample: float,
    out: NDArray[np.complex64],
) -> None:
    """Fill ``out`` with the first samples of the flowgraph's output."""
    whole = CHUNK * (-(-len(out) // CHUNK) + 1)
    graph = gr.top_block("transmit")
    # Padded here to whole polyphase arms: the block would put its zeros in front, which delays.
    arms = np.pad(taps, (0, -len(taps) % interpolation))
    shaping = filter.interp_fir_filter_ccf(interpolation, arms.tolist())
    rotator = blocks.rotator_cc(2.0 * math.pi * cycles_per_sample)
    sink = Sink()
    for block in (shaping, rotator):
        fix_chunks(block, CHUNK)
    graph.connect(source(baseband, whole // interpolation), shaping, rotator, sink.block)
    graph.run()
    sink.read_into(out)
