"""Soft bits are log-likelihood ratios: the SNR behind them is that of the symbols' true errors."""

import numpy as np
import pytest
from radio_lab import random_impairments

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.modem.block_coding import block_soft_bits, encode_blocks
from radio.modem.detection import detect
from radio.modem.layout import burst_layout
from radio.modem.observation import observe_data
from radio.modem.ofdm import modulate_grid
from radio.modem.sequences import training_grid
from radio.modem.trial import random_blocks, send
from radio.numerology import DEFAULT_2MSPS


def observed(key, snr_db, mcs="64qam-3/4", rb_count=6, blocks=8):
    """A burst of random content sent over a noisy channel: burst, its data symbols, what the receiver saw."""
    rng = random_stream(1, "soft bits", *key)
    burst = DataBurst("a", int(rng.integers(2**60)), 3, rb_count, mcs, list(range(blocks)), clock_offset_ppm=11.0)
    content = random_blocks(rng, burst)
    stream = send(rng, burst, content, random_impairments(rng, snr_db, 1900.0, clock_ppm=10.0), DEFAULT_2MSPS)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    training = training_grid(burst.burst_id, layout)
    found = detect(stream, modulate_grid(training[: layout.detection_symbols], layout), layout, 2000.0)
    seen = observe_data(stream, found, layout, training, burst)
    return burst, encode_blocks(burst, content, len(seen.symbols)), seen


@pytest.mark.parametrize("snr_db", [8.0, 20.0, 32.0, 42.0])
def test_the_snr_of_a_symbol_is_that_of_its_error(snr_db):
    ratio = []
    for index in range(4):
        _, sent, seen = observed(("snr", str(snr_db), index), snr_db)
        ratio.append(np.mean(np.abs(seen.symbols - sent) ** 2 * seen.symbol_snr))
    assert np.mean(ratio) == pytest.approx(1.05, abs=0.12)


def test_a_soft_bit_says_how_likely_it_is_wrong():
    soft, wrong = [], []
    for index in range(6):
        burst, sent, seen = observed(("calibration", index), 7.0, "qpsk-1/2", blocks=6)
        llr = block_soft_bits(burst, seen.symbols, seen.symbol_snr)
        hard = block_soft_bits(burst, sent, seen.symbol_snr)
        soft.append(np.abs(llr).ravel())
        wrong.append((llr * hard < 0.0).ravel())
    soft, wrong = np.concatenate(soft), np.concatenate(wrong)
    for low in (0.5, 1.5, 2.5, 3.5):
        within = (soft >= low) & (soft < low + 1.0)
        expected = np.mean(1.0 / (1.0 + np.exp(soft[within])))
        assert np.mean(wrong[within]) == pytest.approx(expected, rel=0.2)
