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
from radio.flowgraphs.memory_stream import Sink, fix_chunks, source
from radio.modem.layout import burst_decimation
from radio.numerology import Numerology

CHUNK = 1024
"""Output samples of every filter call."""


def receive_branches(
    bursts: Sequence[Burst], samples: NDArray[np.complex64], numerology: Numerology
) -> list[NDArray[np.complex64]]:
    """Run the flowgraph; returns per burst complex64 (n_samples // decimation,), centred on its grant.

    ``samples``: the window at the full rate, complex64 (n_samples,). Branch sample i is at full-rate sample
    i x decimation: filter delays are taken out.
    """
    if not bursts:
        return []
    longest_filter = max(len(receive_taps(numerology, burst)) for burst in bursts)
    # Every branch must get whole chunks up to its last sample plus its filter's delay.
    unit = CHUNK * max(burst_decimation(burst, numerology) for burst in bursts)
    graph = gr.top_block("receive")
    origin = source(samples, unit * (-(-(len(samples) + longest_filter) // unit) + 1))
    sinks = [_connect_branch(graph, origin, burst, numerology) for burst in bursts]
    graph.run()
    return [_branch(sink, burst, len(samples), numerology) for sink, burst in zip(sinks, bursts, strict=True)]


def _connect_branch(graph: gr.top_block, origin: gr.basic_block, burst: Burst, numerology: Numerology) -> Sink:
    centre_hz = numerology.centre_hz(burst.rb_start, burst.rb_count)
    taps = receive_taps(numerology, burst).tolist()
    branch = filter.freq_xlating_fir_filter_ccf(
        burst_decimation(burst, numerology), taps, centre_hz, numerology.sample_rate_hz
    )
    fix_chunks(branch, CHUNK)
    sink = Sink()
    graph.connect(origin, branch, sink.block)
    return sink


def _branch(sink: Sink, burst: Burst, n_samples: int, numerology: Numerology) -> NDArray[np.complex64]:
    decimation = burst_decimation(burst, numerology)
    branch = np.empty(n_samples // decimation, np.complex64)
    sink.read_into(branch, skip=(len(receive_taps(numerology, burst)) - 1) // 2 // decimation)
    return branch
