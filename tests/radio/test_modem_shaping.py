"""What the filters at both ends do to a burst and to its neighbours, without noise and without estimates."""

import numpy as np
import pytest

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.modem.layout import burst_layout
from radio.modem.ofdm import demodulate_grid
from radio.modem.shaping import receive_gain, transmit_gain
from radio.modem.transmitter import modulate
from radio.modem.trial import branch, random_blocks, transmitted
from radio.numerology import DEFAULT_2MSPS, WIDE_4MSPS


def burst_of(rb_start, rb_count, burst_id=1):
    return DataBurst(
        client="a", burst_id=burst_id, rb_start=rb_start, rb_count=rb_count, mcs="qpsk-1/2", block_ids=[0, 1, 2]
    )


def blocks_of(burst):
    return random_blocks(random_stream(1, "shaping", burst.burst_id), burst)


def error_power(burst, start, numerology):
    """Error power per subcarrier of a received burst beside its elements, one gain per subcarrier fitted."""
    layout = burst_layout(burst, numerology)
    baseband = modulate(burst, blocks_of(burst), numerology)
    gains = transmit_gain(layout) * receive_gain(layout, 0.0)
    sent = demodulate_grid(baseband, layout, 0, layout.symbols) * gains
    received = branch(burst, transmitted(burst, blocks_of(burst), numerology, start), numerology)
    got = demodulate_grid(received, layout, int(start // layout.decimation), layout.symbols)
    gain = np.sum(got * np.conj(sent), axis=0) / np.sum(np.abs(sent) ** 2, axis=0)
    return np.mean(np.abs(got / gain - sent) ** 2, axis=0) / np.mean(np.abs(sent) ** 2)


@pytest.mark.parametrize(
    ("rb_start", "rb_count", "mean_db", "worst_db"),
    [(6, 16, -46.0, -36.0), (0, 28, -48.0, -37.0), (2, 7, -41.0, -33.0), (2, 6, -44.0, -37.0), (1, 1, -35.0, -33.0)],
)
def test_filters_leave_little_error_in_a_burst_wherever_it_starts(rb_start, rb_count, mean_db, worst_db):
    starts = 1500.0 + np.array([0.0, 1.5, 3.0, 4.5, 6.25])
    error = np.mean([error_power(burst_of(rb_start, rb_count), start, DEFAULT_2MSPS) for start in starts], axis=0)
    assert 10 * np.log10(error.mean()) < mean_db
    assert 10 * np.log10(error.max()) < worst_db


def test_filters_at_twice_the_rate_do_the_same():
    assert 10 * np.log10(error_power(burst_of(12, 32), 1501.5, WIDE_4MSPS).mean()) < -46.0


@pytest.mark.parametrize(("rb_count", "other_rbs"), [(1, 7), (3, 7), (6, 6), (7, 7), (16, 4)])
@pytest.mark.parametrize("above", [True, False])
def test_an_asynchronous_neighbour_one_guard_away_leaks_little(rb_count, other_rbs, above):
    rb_start = 2 if above else 8
    burst = burst_of(rb_start, rb_count)
    other = burst_of(rb_start + rb_count + 1 if above else rb_start - 1 - other_rbs, other_rbs, burst_id=2)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    stream = transmitted(other, blocks_of(other), DEFAULT_2MSPS, 1000.0)
    # 4 kHz nearer: both carriers at their limits.
    nearer = np.exp((-1 if above else 1) * 2j * np.pi * 4e3 / 2e6 * np.arange(len(stream)))
    received = branch(burst, (stream * nearer).astype(np.complex64), DEFAULT_2MSPS)
    leaks = []
    # Symbols of the two are never aligned: windows at every offset.
    for offset in range(0, layout.symbol_samples, max(1, layout.symbol_samples // 10)):
        first = 1600 // layout.decimation + offset
        leaks.append(np.abs(demodulate_grid(received, layout, first, 30)) ** 2)
    per_subcarrier = 1.0 / len(burst_layout(other, DEFAULT_2MSPS).subcarriers)
    leak_db = 10 * np.log10(np.mean(leaks) / per_subcarrier)
    assert leak_db < -43.0
