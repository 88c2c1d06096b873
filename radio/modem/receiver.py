"""The receiving half of the modem: samples of a branch to a report.

The receiver knows the grant and the burst id; timing, carrier offset, gain and noise it estimates.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, BurstReport, SoundingBurst
from radio.modem.absence import absent_report
from radio.modem.block_coding import block_soft_bits
from radio.modem.combining import SoftMemory
from radio.modem.detection import detect
from radio.modem.layout import BurstLayout, burst_air_samples, burst_coded_bits, burst_layout, max_cfo_hz
from radio.modem.observation import Observation, observe_data, observe_sounding
from radio.modem.ofdm import modulate_grid
from radio.modem.sequences import training_grid
from radio.modem.soft_bit_histogram import soft_bit_histogram
from radio.numerology import Numerology

CONSTELLATION_POINTS = 512


def receive(
    burst: Burst, samples: NDArray[np.complex64], numerology: Numerology, memory: SoftMemory | None = None
) -> BurstReport:
    """Find and demodulate ``burst`` in ``samples`` (its branch: decimated, centred on the grant).

    ``memory``: what was kept of the round's earlier bursts; without it every block stands alone.

    A burst that is not there is reported ``detected=False``; nothing received makes this raise.
    Raises ConfigurationError on an unknown MCS or RBs outside the band, MissingPartError without GNU Radio.
    """
    layout = burst_layout(burst, numerology)
    training = training_grid(burst.burst_id, layout)
    reach_hz = max_cfo_hz(burst)
    reference = modulate_grid(training[: layout.detection_symbols], layout)
    found = detect(samples, reference, layout, reach_hz)
    if found is None:
        return absent_report(burst, numerology)
    if isinstance(burst, SoundingBurst):
        seen = observe_sounding(samples, found, layout, training)
        return _report(burst, numerology, layout, seen, [], [])
    seen = observe_data(samples, found, layout, training, burst)
    soft = block_soft_bits(burst, seen.symbols, seen.symbol_snr)
    blocks, combined = (SoftMemory() if memory is None else memory).decode(burst, soft)
    histogram = soft_bit_histogram(burst, seen.symbols, seen.symbol_snr)
    report = _report(burst, numerology, layout, seen, blocks, histogram)
    return msgspec.structs.replace(report, blocks_combined=combined)


def _report(
    burst: Burst,
    numerology: Numerology,
    layout: BurstLayout,
    seen: Observation,
    blocks: list[bytes | None],
    soft_bits: list[int],
) -> BurstReport:
    sent_power = 10.0 ** (burst.tx_gain_db / 10.0) / len(layout.subcarriers)
    per_subcarrier = np.abs(seen.channel) ** 2
    total_power = float(np.sum(seen.power * np.bincount(layout.rb_of_subcarrier)))
    return BurstReport(
        client=burst.client,
        burst_id=burst.burst_id,
        detected=True,
        start_sample=layout.decimation * seen.start,
        cfo_hz=seen.cfo_hz,
        rx_power_dbfs=float(_db(total_power)),
        snr_db=float(_db(float(np.mean(seen.power) / np.mean(seen.noise)))),
        evm_db=seen.evm_db,
        gain_db=_db(seen.power / sent_power).tolist(),
        noise_db=_db(seen.noise * numerology.rb_subcarriers).tolist(),
        sinr_db=_db(seen.power / seen.noise).tolist(),
        blocks=blocks,
        air_samples=burst_air_samples(burst, numerology),
        coded_bits=burst_coded_bits(burst, numerology),
        constellation=_spread(seen.symbols).tobytes(),
        channel_db=_db(per_subcarrier / sent_power).tolist(),
        soft_bits=soft_bits,
        channel=seen.raw.tobytes() if isinstance(burst, SoundingBurst) else b"",
    )


def _spread(symbols: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """At most ``CONSTELLATION_POINTS`` symbols, spread over the burst."""
    count = min(len(symbols), CONSTELLATION_POINTS)
    index = np.linspace(0, len(symbols) - 1, count).astype(np.int64)
    return symbols[index].astype(np.complex64, copy=False)


def _db(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-20)))
