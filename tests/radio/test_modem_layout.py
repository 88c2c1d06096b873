import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.bursts import DataBurst, SoundingBurst
from protocol.errors import ConfigurationError, RadioError
from protocol.random_streams import random_stream
from radio.modem import (
    MAX_BURST_SAMPLES,
    MCS_NAMES,
    McsTable,
    branch_samples,
    burst_air_samples,
    burst_coded_bits,
    burst_decimation,
    max_blocks,
    modulate,
)
from radio.modem.layout import burst_layout
from radio.modem.trial import random_blocks
from radio.numerology import DEFAULT_2MSPS, Numerology


def data_burst(rb_start=3, rb_count=4, mcs="qpsk-1/2", blocks=2, tx_gain_db=0.0):
    return DataBurst(
        client="a",
        burst_id=11,
        rb_start=rb_start,
        rb_count=rb_count,
        mcs=mcs,
        block_ids=list(range(blocks)),
        tx_gain_db=tx_gain_db,
    )


grants = st.integers(1, 28).flatmap(lambda count: st.tuples(st.integers(0, 28 - count), st.just(count)))


@pytest.mark.parametrize(
    ("rb_count", "decimation"), [(1, 8), (3, 8), (4, 4), (7, 4), (8, 2), (15, 2), (16, 1), (28, 1)]
)
def test_a_branch_is_as_narrow_as_grant_and_guard_allow(rb_count, decimation):
    assert DEFAULT_2MSPS.decimation(rb_count) == decimation


def test_the_grid_has_the_documented_frequencies():
    numerology = DEFAULT_2MSPS
    assert numerology.subcarrier_spacing_hz == 7812.5
    assert numerology.rb_bandwidth_hz == 62.5e3
    assert numerology.symbol_samples == 280
    assert numerology.centre_hz(0, 28) == 0.0
    assert numerology.centre_hz(0, 1) == (-112 + 4) * 7812.5


@given(grants)
def test_a_grant_loads_its_resource_blocks_but_never_the_carrier(grant):
    start, count = grant
    branch = DEFAULT_2MSPS.loaded_subcarriers(start, count)
    carrier = set(branch + DEFAULT_2MSPS.centre_subcarrier(start, count))
    assert carrier == set(range(-112 + 8 * start, -112 + 8 * (start + count))) - {-1, 0, 1}


def test_a_numerology_that_does_not_decimate_is_refused():
    with pytest.raises(ConfigurationError, match="multiples of 8"):
        Numerology(fft_size=100)


def test_a_grant_outside_the_band_is_refused():
    with pytest.raises(ConfigurationError, match="leaves the band"):
        burst_air_samples(data_burst(rb_start=27, rb_count=2), DEFAULT_2MSPS)


@settings(max_examples=40, deadline=None)
@given(grants, st.sampled_from(MCS_NAMES), st.integers(1, 40))
def test_the_layout_has_room_for_the_blocks_and_no_symbol_more(grant, mcs, blocks):
    burst = data_burst(*grant, mcs, blocks)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    data = ~layout.pilot_mask()
    needed = -(-blocks * McsTable.load()[mcs].block_coded_bits // McsTable.load()[mcs].bits_per_symbol)
    assert np.count_nonzero(data) >= needed > np.count_nonzero(data[:-1])
    assert burst_coded_bits(burst, DEFAULT_2MSPS) == np.count_nonzero(data) * McsTable.load()[mcs].bits_per_symbol


@settings(max_examples=40, deadline=None)
@given(grants, st.sampled_from(MCS_NAMES), st.integers(20_000, MAX_BURST_SAMPLES))
def test_max_blocks_fill_the_limit_but_do_not_pass_it(grant, mcs, limit):
    blocks = max_blocks(*grant, mcs, DEFAULT_2MSPS, limit)
    if blocks:
        assert burst_air_samples(data_burst(*grant, mcs, blocks), DEFAULT_2MSPS) <= limit
    assert burst_air_samples(data_burst(*grant, mcs, blocks + 1), DEFAULT_2MSPS) > limit


@pytest.mark.parametrize(
    ("rb_count", "mcs", "period"),
    [
        (1, "qpsk-1/2", 16),
        (7, "qpsk-1/2", 16),
        (8, "qpsk-1/2", 32),
        (15, "qpsk-1/2", 32),
        (16, "qpsk-1/2", 64),
        (28, "qpsk-1/2", 64),
        (28, "qpsk-50-short", 16),
    ],
)
def test_pilots_are_one_element_of_a_period_and_visit_every_subcarrier(rb_count, mcs, period):
    layout = burst_layout(data_burst(0, rb_count, mcs, 16), DEFAULT_2MSPS)
    mask = layout.pilot_mask()[: period * (layout.data_symbols // period)]
    assert len(mask) > 0
    assert np.all(mask.sum(axis=0) == len(mask) // period)


@pytest.mark.parametrize("tx_gain_db", [0.0, -13.0])
@pytest.mark.parametrize("rb_count", [1, 13, 28])
def test_samples_have_the_granted_length_and_power(rb_count, tx_gain_db):
    burst = data_burst(0, rb_count, "16qam-3/4", 2, tx_gain_db)
    samples = modulate(burst, random_blocks(random_stream(1, "blocks"), burst), DEFAULT_2MSPS)
    assert samples.dtype == np.complex64
    assert len(samples) == branch_samples(burst, DEFAULT_2MSPS)
    assert len(samples) * burst_decimation(burst, DEFAULT_2MSPS) == burst_air_samples(burst, DEFAULT_2MSPS)
    assert 10 * np.log10(np.mean(np.abs(samples) ** 2)) == pytest.approx(tx_gain_db, abs=0.3)


def test_training_peaks_stay_below_those_of_data():
    burst = data_burst(0, 28, "64qam-3/4", 40)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    power = np.abs(modulate(burst, random_blocks(random_stream(1, "blocks"), burst), DEFAULT_2MSPS)) ** 2
    training = layout.training_symbols * layout.symbol_samples
    assert power[:training].max() < power[training:].max()


def test_an_acquisition_burst_keeps_the_full_rate():
    narrow = SoundingBurst(client="a", burst_id=1, rb_start=12, rb_count=4, acquisition=True)
    assert burst_decimation(narrow, DEFAULT_2MSPS) == 1


def test_modulate_refuses_blocks_that_were_not_granted():
    for blocks in ([bytes(252)], [bytes(252), bytes(7)]):
        with pytest.raises(RadioError, match="2 blocks of 252 bytes were granted"):
            modulate(data_burst(blocks=2), blocks, DEFAULT_2MSPS)


def test_modulate_refuses_a_burst_longer_than_a_window_may_carry():
    with pytest.raises(RadioError, match="grant it in several bursts"):
        modulate(data_burst(0, 1, "bpsk-1/2", 9), [bytes(252)] * 9, DEFAULT_2MSPS)
