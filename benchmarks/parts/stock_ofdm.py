"""The modem that comes with GNU Radio, ``digital.ofdm_rx`` and ``ofdm_tx``, one per grant: the peer in speed.

As shipped: FFT 64, prefix 16, 48 data carriers and 4 pilots, no error correction; a CRC-32 per packet. It gets the same
filters and rates as our branches (FFT 64 and prefix 6 at 2 Msps, twice that at 4), so that only the modems differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gnuradio import blocks, digital, filter, gr
from numpy.typing import NDArray

from protocol.bursts import Burst
from radio.flowgraphs import memory_stream
from radio.flowgraphs.filters import receive_taps, transmit_taps
from radio.modem import burst_decimation
from radio.numerology import Numerology

PACKET_BYTES = 96
LENGTH_TAG = "packet_length"
BITS_PER_SYMBOL = 2
"""QPSK; the stock modem has no more than 8PSK."""


def receive(bursts: Sequence[Burst], samples: NDArray[np.complex64], numerology: Numerology) -> int:
    """Run a filter and a stock receiver per grant over a window's ``samples``; returns the packets that came out."""
    graph = gr.top_block("stock receivers")
    origin = memory_stream.source(samples, len(samples) + 8192)
    sinks = []
    for burst in bursts:
        branch = filter.freq_xlating_fir_filter_ccf(
            burst_decimation(burst, numerology),
            receive_taps(numerology, burst).tolist(),
            numerology.centre_hz(burst.rb_start, burst.rb_count),
            numerology.sample_rate_hz,
        )
        modem = digital.ofdm_rx(packet_length_tag_key=LENGTH_TAG, bps_payload=BITS_PER_SYMBOL)
        sink = blocks.vector_sink_b()
        graph.connect(origin, branch, modem, sink)
        sinks.append((sink, modem, branch))
    graph.run()
    return sum(len(sink.data()) // PACKET_BYTES for sink, *_ in sinks)


def transmit(bursts: Sequence[Burst], n_samples: int, numerology: Numerology, seed: int) -> NDArray[np.complex64]:
    """A stock transmitter per grant, filtered and shifted as ours; their sum, ``n_samples`` of full duty."""
    graph = gr.top_block("stock transmitters")
    total = blocks.add_cc()
    sink = memory_stream.Sink()
    kept: list[Any] = []
    for index, burst in enumerate(bursts):
        interpolation = burst_decimation(burst, numerology)
        taps = transmit_taps(numerology, burst)
        content = np.random.default_rng([seed, index]).integers(0, 256, _content_bytes(n_samples // interpolation))
        origin = blocks.vector_source_b(content.tolist(), False)
        packets = blocks.stream_to_tagged_stream(gr.sizeof_char, 1, PACKET_BYTES, LENGTH_TAG)
        modem = digital.ofdm_tx(packet_length_tag_key=LENGTH_TAG, bps_payload=BITS_PER_SYMBOL)
        shaping = filter.interp_fir_filter_ccf(interpolation, np.pad(taps, (0, -len(taps) % interpolation)).tolist())
        cycles = numerology.centre_hz(burst.rb_start, burst.rb_count) / numerology.sample_rate_hz
        rotator = blocks.rotator_cc(2.0 * math.pi * cycles)
        graph.connect(origin, packets, modem, shaping, rotator, (total, index))
        kept += [origin, packets, modem, shaping, rotator]
    graph.connect(total, blocks.head(gr.sizeof_gr_complex, n_samples), sink.block)
    graph.run()
    sent = np.empty(n_samples, np.complex64)
    sink.read_into(sent)
    return sent


def packets_sent(bursts: Sequence[Burst], n_samples: int, numerology: Numerology) -> int:
    """Whole packets in the streams of ``transmit``."""
    return sum(n_samples // burst_decimation(b, numerology) // _PACKET_SAMPLES for b in bursts)


def _content_bytes(branch_samples: int) -> int:
    """Enough whole packets to fill ``branch_samples``."""
    return PACKET_BYTES * (branch_samples // _PACKET_SAMPLES + 2)


_PACKET_SAMPLES = 80 * (2 + 1 + math.ceil(8 * (PACKET_BYTES + 4) / (48 * BITS_PER_SYMBOL)))
"""Two synchronisation symbols, one of header, content and CRC-32."""
