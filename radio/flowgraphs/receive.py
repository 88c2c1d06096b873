"""Receive flowgraph: a window's samples become one branch per grant, shifted, filtered and decimated.

window source -> frequency-translating filter per grant -> sink per grant
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gnuradio import filter, gr
from numpy.typing import NDArray

from protocol.bursts import Burst
from radio.flowgraphs.filters import receive_taps
from radio.flowgraphs.memory_stream import CHUNK, Sink, fix_chunks, source
from radio.modem.layout import burst_decimation
from radio.numerology import Numerology


def receive_branches(
    bursts: Sequence[Burst], samples: NDArray[np.complex64], numerology: Numerology
) -> list[NDArray[np.complex64]]:
    """Run the flowgraph; returns per burst complex64 (n_samples // decimation,), centred on its grant.

    ``samples``: the window at the full rate, complex64 (n_samples,). Branch sample i is at full-rate sample
    i x decimation: filter delays are taken out.
    """
    if not bursts:
        return []
    decimations = [burst_decimation(burst, numerology) for burst in bursts]
    taps = [receive_taps(numerology, burst) for burst in bursts]
    graph = gr.top_block("receive")
    origin = source(_padded(samples, max(len(branch) for branch in taps), CHUNK * max(decimations)))
    sinks = []
    for burst, decimation, branch_taps in zip(bursts, decimations, taps, strict=True):
        centre_hz = numerology.centre_hz(burst.rb_start, burst.rb_count)
        branch = filter.freq_xlating_fir_filter_ccf(
            decimation, branch_taps.tolist(), centre_hz, numerology.sample_rate_hz
        )
        fix_chunks(branch)
        sink = Sink()
        graph.connect(origin, branch, sink.block)
        sinks.append(sink)
    graph.run()
    return [
        _without_delay(sink.take(), (len(branch_taps) - 1) // 2 // decimation, len(samples) // decimation)
        for sink, branch_taps, decimation in zip(sinks, taps, decimations, strict=True)
    ]


def _padded(samples: NDArray[np.complex64], tail: int, unit: int) -> NDArray[np.complex64]:
    """Zeros behind: every branch must get whole chunks up to its last sample plus its filter's delay."""
    padded = np.zeros(unit * (-(-(len(samples) + tail) // unit) + 1), np.complex64)
    padded[: len(samples)] = samples
    return padded


def _without_delay(samples: NDArray[np.complex64], delay: int, length: int) -> NDArray[np.complex64]:
    return samples[delay : delay + length]
