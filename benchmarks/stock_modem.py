"""GNU Radio's own OFDM modem, measured the way airtune's is: what an off-the-shelf uplink makes of a band.

``digital.ofdm_tx`` and ``ofdm_rx`` as they come (64 subcarriers, 48 data, prefix 16, CRC-32, no code), with random gaps
between packets, a random carrier offset of +-2 kHz and white noise. Its 53 occupied subcarriers stand for 16 RBs
(1 MHz), the guard is one RB. At each SNR the best of BPSK, QPSK, 8PSK and a few packet lengths is kept; longer
packets than these do not fit the buffers of the stock blocks.

Run: python -m benchmarks.stock_modem [--packets 200] [--seed 1] [--out FILE]     (writes radio/data/stock_modem.json)
"""

from __future__ import annotations

import argparse
import datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pmt
from gnuradio import blocks, digital, gr

from benchmarks.parts.arguments import integer
from protocol.random_streams import random_stream
from radio.simulation.stock_modem import STOCK_MODEM_FILE, StockModem, StockPoint

OCCUPIED, FFT_SIZE = 53, 64
OCCUPIED_HZ, GUARD_HZ = 1e6, 62.5e3
SAMPLE_RATE_HZ = OCCUPIED_HZ * FFT_SIZE / OCCUPIED
MAX_CFO_HZ = 2e3
SETTINGS = [(1, 96), (1, 200), (2, 96), (2, 200), (2, 400), (3, 96), (3, 200), (3, 400), (3, 800)]
"""Bits per symbol and bytes of a packet."""
SNR_DB = range(31)
LENGTH_TAG = "packet_length"


def transmit(bits_per_symbol: int, packets: np.ndarray) -> list[np.ndarray]:
    """Samples of each packet (rows of bytes)."""
    graph = gr.top_block()
    source = blocks.vector_source_b(packets.ravel().tolist())
    tagged = blocks.stream_to_tagged_stream(gr.sizeof_char, 1, packets.shape[1], LENGTH_TAG)
    modem = digital.ofdm_tx(packet_length_tag_key=LENGTH_TAG, bps_header=1, bps_payload=bits_per_symbol)
    sink = blocks.vector_sink_c()
    graph.connect(source, tagged, modem, sink)
    graph.run()
    samples = np.array(sink.data(), np.complex64)
    starts = [tag.offset for tag in sink.tags() if pmt.symbol_to_string(tag.key) == LENGTH_TAG]
    return [samples[begin:end] for begin, end in pairwise([*starts, len(samples)])]


def receive(bits_per_symbol: int, samples: np.ndarray) -> list[bytes]:
    """Packets whose CRC holds."""
    graph = gr.top_block()
    source = blocks.vector_source_c(samples.tolist())
    modem = digital.ofdm_rx(packet_length_tag_key=LENGTH_TAG, bps_header=1, bps_payload=bits_per_symbol)
    sink = blocks.vector_sink_b()
    graph.connect(source, modem, sink)
    graph.run()
    received = bytes(sink.data())
    tags = [(tag.offset, pmt.to_python(tag.value)) for tag in sink.tags() if str(tag.key) == LENGTH_TAG]
    return [received[offset : offset + length] for offset, length in tags]


def measure(bits_per_symbol: int, packet_bytes: int, count: int, seed: int) -> list[StockPoint]:
    """One setting at every SNR."""
    rng = random_stream(seed, "stock modem", bits_per_symbol, packet_bytes)
    content = rng.integers(0, 256, (count, packet_bytes), dtype=np.uint8)
    # A packet's number makes it unlike every other.
    content[:, :4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    sent = transmit(bits_per_symbol, content)
    on_air = np.concatenate(sent)
    power = float(np.mean(np.abs(on_air) ** 2))
    air_s = len(on_air) / SAMPLE_RATE_HZ
    gaps = [np.zeros(int(rng.integers(300, 900)), np.complex64) for _ in sent]
    stream = np.concatenate([part for pair in zip(gaps, sent, strict=True) for part in pair] + [np.zeros(4000)])
    points = []
    for snr_db in SNR_DB:
        noisy = _impaired(rng, stream, power * 10.0 ** (-snr_db / 10.0) * FFT_SIZE / OCCUPIED)
        arrived = len(set(receive(bits_per_symbol, noisy)) & {row.tobytes() for row in content})
        goodput_bps = arrived * 8 * packet_bytes / air_s
        capacity_bps = (OCCUPIED_HZ + GUARD_HZ) * np.log2(1.0 + 10.0 ** (snr_db / 10.0))
        efficiency = round(float(goodput_bps / capacity_bps), 4)
        points.append(StockPoint(snr_db, bits_per_symbol, packet_bytes, count, count - arrived, efficiency))
    return points


def _impaired(rng: np.random.Generator, stream: np.ndarray, noise_power: float) -> np.ndarray:
    turn = 2.0 * np.pi * rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ) / SAMPLE_RATE_HZ
    noise = rng.standard_normal((len(stream), 2)) @ np.array([1.0, 1j]) * np.sqrt(0.5 * noise_power)
    return (stream * np.exp(1j * turn * np.arange(len(stream))) + noise).astype(np.complex64)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=integer(1), default=200, help="per setting and SNR")
    parser.add_argument("--seed", type=integer(0), default=1)
    parser.add_argument("--out", type=Path, default=STOCK_MODEM_FILE)
    options = parser.parse_args()
    curves = [measure(bits, size, options.packets, options.seed) for bits, size in SETTINGS]
    best = [max(at_snr, key=lambda point: point.efficiency) for at_snr in zip(*curves, strict=True)]
    print("SNR dB  bits/symbol  packet bytes  packet errors  efficiency")
    for point in best:
        rate = point.errors / point.packets
        print(
            f"{point.snr_db:6.0f}  {point.bits_per_symbol:11d}  {point.packet_bytes:12d}  {rate:13.3f}  "
            f"{point.efficiency:10.3f}"
        )
    content = StockModem(
        about="GNU Radio digital.ofdm_tx and ofdm_rx as they come; AWGN, random gaps, carrier offset within 2 kHz; "
        "the best of BPSK, QPSK, 8PSK and packets of 96 to 800 bytes at each SNR",
        date=datetime.date.today().isoformat(),
        command=f"python -m benchmarks.stock_modem --packets {options.packets} --seed {options.seed}",
        versions={"gnuradio": str(gr.version()), "numpy": np.__version__},
        seed=options.seed,
        points=best,
    )
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


if __name__ == "__main__":
    main()
