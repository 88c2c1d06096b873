"""The whole simulated radio over channels that are not clean: echoes, impaired hardware, a jammer."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from radio_lab import RadioLab, data_burst, lab_experiment, random_blocks, sounding

from base_station.channel import barred_rbs
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import path_gain_db
from radio.numerology import DEFAULT_2MSPS

CHANNELS = {
    "echoes": {"model": "tdl-c", "delay_spread_s": 300e-9},
    "pluto": {"impairments": "pluto", "jammer_rb": 20},
}
GRANTS = [("c0", 0, 6, "qpsk-1/2", 8), ("c1", 7, 12, "16qam-1/2", 16)]


@pytest.fixture(scope="module", params=CHANNELS.values(), ids=CHANNELS.keys())
def lab(request):
    lab = RadioLab(lab_experiment((16.0, 28.0), channel=request.param))
    yield lab
    lab.close()


def power_db_per_rb(taps):
    """Mean power of a channel in each RB, dB."""
    subcarriers = [DEFAULT_2MSPS.loaded_subcarriers(rb, 1) + DEFAULT_2MSPS.centre_subcarrier(rb, 1) for rb in range(28)]
    return [
        10.0 * np.log10(np.mean(np.abs(frequency_response(taps, k * DEFAULT_2MSPS.subcarrier_spacing_hz)) ** 2))
        for k in subcarriers
    ]


def test_the_gain_measured_in_each_block_is_that_of_path_and_fade(lab):
    report, _ = lab.hear("sounding", [sounding("c1", burst_id=3)])
    taps = draws.taps(lab.experiment, report.window.round_index, "c1")
    expected_db = path_gain_db(lab.experiment, lab.experiment.member("c1")) + np.array(power_db_per_rb(taps))
    clean = np.arange(28) != lab.experiment.channel.jammer_rb
    assert np.max(np.abs(report.bursts[0].gain_db - expected_db)[clean]) < 0.7
    assert report.clipped_samples == 0


def test_neighbours_12_db_apart_deliver_their_blocks(lab):
    bursts = [data_burst(*grant, burst_id=10 + i, **lab.corrections(grant[0])) for i, grant in enumerate(GRANTS)]
    blocks = [random_blocks(i, grant[-1]) for i, grant in enumerate(GRANTS)]
    report, _ = lab.hear("data", bursts, blocks)
    assert [burst.blocks for burst in report.bursts] == blocks


def test_the_silent_window_bars_the_jammed_block_only(lab):
    report, _ = lab.hear("silent")
    jammed = lab.experiment.channel.jammer_rb
    assert barred_rbs(report.noise_db, lab.experiment.radio.barred_interference_db) == [jammed] * (jammed is not None)


def windows_of_a_session():
    channel = {"model": "tdl-c", "doppler_hz": 0.01, "impairments": "pluto", "jammer_rb": 20}
    lab = RadioLab(lab_experiment((16.0,), channel=channel))
    try:
        reports = [lab.hear("silent")[0], lab.hear("sounding", [sounding("c0", burst_id=4)])[0]]
    finally:
        lab.close()
    return msgspec.msgpack.encode([msgspec.structs.replace(report, stage_s={}) for report in reports])


def test_the_same_seed_gives_bit_identical_reports():
    assert windows_of_a_session() == windows_of_a_session()
