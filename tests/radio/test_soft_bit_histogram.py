"""The histogram of a burst's soft bits."""

import numpy as np
import pytest
from radio_lab import data_burst

from protocol.bursts import SOFT_BIT_BINS, SOFT_BIT_REACH
from radio.modem import McsTable
from radio.modem.constellations import Constellation
from radio.modem.soft_bit_histogram import soft_bit_histogram


def noisy_symbols(mcs: str, count: int, snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    bits_per_symbol = McsTable.load()[mcs].bits_per_symbol
    sent = Constellation.of(bits_per_symbol).points(rng.integers(0, 2, count * bits_per_symbol).astype(np.uint8))
    snr = np.full(count, 10 ** (snr_db / 10), np.float32)
    noise = rng.normal(size=(count, 2)) @ (1, 1j) * np.sqrt(0.5 / snr)
    return (sent + noise).astype(np.complex64), snr


@pytest.mark.parametrize(("mcs", "bits_per_symbol"), [("bpsk-1/2", 1), ("qpsk-1/2", 2), ("16qam-3/4", 4)])
def test_every_soft_bit_of_a_short_burst_is_counted_where_it_lies(mcs, bits_per_symbol):
    symbols, snr = noisy_symbols(mcs, 700, 4.0)
    soft = Constellation.of(bits_per_symbol).soft_bits(symbols, snr).ravel()
    counts = soft_bit_histogram(data_burst("a", 0, 4, mcs, 1, 1), symbols, snr)
    width = 2 * SOFT_BIT_REACH / SOFT_BIT_BINS
    place = np.clip(np.floor((soft + SOFT_BIT_REACH) / width), 0, SOFT_BIT_BINS - 1).astype(int)
    assert counts == np.bincount(place, minlength=SOFT_BIT_BINS).tolist()
    assert sum(counts) == 700 * bits_per_symbol


def test_values_beyond_the_reach_count_in_the_outermost_bins():
    counts = soft_bit_histogram(data_burst("a", 0, 4, "qpsk-1/2", 1, 1), *noisy_symbols("qpsk-1/2", 500, 25.0))
    assert counts[0] + counts[-1] == sum(counts) == 1000


def test_a_long_burst_is_sampled_over_its_whole_length():
    weak, weak_snr = noisy_symbols("qpsk-1/2", 50_000, 0.0)
    strong, strong_snr = noisy_symbols("qpsk-1/2", 50_000, 25.0)
    symbols, snr = np.concatenate([weak, strong]), np.concatenate([weak_snr, strong_snr])
    counts = soft_bit_histogram(data_burst("a", 0, 4, "qpsk-1/2", 1, 1), symbols, snr)
    assert sum(counts) == 2048
    assert counts[0] + counts[-1] == pytest.approx(1024, abs=30)
