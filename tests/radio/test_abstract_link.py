"""The radio without samples: losses as the link tables say, gains and noise as the channel says."""

import msgspec
import numpy as np
import pytest
from radio_lab import RadioLab, data_burst, lab_experiment, random_blocks, sounding
from scipy import stats

from protocol.bursts import Window
from protocol.errors import ConfigurationError
from radio.abstract.delivery import delivery_frame
from radio.abstract.link import AbstractLink
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import path_gain_db
from radio.drivers import open_base_station_radio
from radio.link_tables import LinkTables
from radio.numerology import DEFAULT_2MSPS

WINDOW = Window("abstract", 3, 7, "data", 2**18)
RB_COUNT, BLOCKS = 8, 100
BOOST_DB = 10 * np.log10(28 / RB_COUNT)


def link_at(snr_db, **tables):
    """A client whose SINR per RB in a grant of 8 RBs is ``snr_db``."""
    tables = {"channel": {"carrier_offset_ppm": 0.2}, **tables}
    return AbstractLink(lab_experiment((float(snr_db - BOOST_DB),), "abstract", **tables), DEFAULT_2MSPS)


def outcome(link, window_index=7, block_ids=range(BLOCKS), mcs="qpsk-1/2"):
    window = msgspec.structs.replace(WINDOW, index=window_index)
    burst = msgspec.structs.replace(data_burst("c0", 2, RB_COUNT, mcs, 1, 5), block_ids=list(block_ids))
    contents = [bytes([i % 256]) * 252 for i in burst.block_ids]
    report = link.report(window, burst, contents)
    assert all(got in (None, sent) for got, sent in zip(report.blocks, contents, strict=True))
    return report


def test_as_many_blocks_fail_as_the_link_table_says():
    tables = LinkTables.load()
    for wanted in (0.5, 0.1):
        snr_db = tables.required_snr_db("qpsk-1/2", wanted)
        failed = sum(outcome(link_at(snr_db, experiment={"seed": s})).blocks.count(None) for s in range(12))
        assert stats.binomtest(failed, 12 * BLOCKS, wanted).pvalue > 1e-3


def test_failed_blocks_gather_snr_with_combining_and_not_without():
    snr_db = LinkTables.load().required_snr_db("qpsk-1/2", 0.9)
    for harq, least, most in (("chase", 90, 100), ("none", 0, 35)):
        link = link_at(snr_db, radio={"harq": harq})
        failed = [i for i, block in enumerate(outcome(link).blocks) if block is None]
        assert len(failed) >= 70
        again = outcome(link, 8, failed)
        arrived = sum(block is not None for block in again.blocks)
        assert least * len(failed) <= 100 * arrived <= most * len(failed)
        assert again.blocks_combined == (arrived if harq == "chase" else 0)


def test_gain_per_rb_is_the_channels():
    experiment = lab_experiment((38.0,), "abstract", channel={"model": "tdl-c", "delay_spread_s": 600e-9})
    report = AbstractLink(experiment, DEFAULT_2MSPS).report(WINDOW, sounding("c0"), [])
    taps = draws.taps(experiment, WINDOW.round_index, "c0")
    centres_hz = [DEFAULT_2MSPS.centre_hz(rb, 1) for rb in range(28)]
    expected = path_gain_db(experiment, experiment.member("c0"))
    expected = expected + 20 * np.log10(np.abs(frequency_response(taps, np.array(centres_hz))))
    assert np.ptp(expected) > 5.0
    strong = expected > expected.max() - 15.0  # in a notch the mean over an RB is not its centre
    np.testing.assert_allclose(np.array(report.gain_db)[strong], expected[strong], atol=0.3)


CHANNELS = {
    "echoes": {"model": "tdl-c", "delay_spread_s": 600e-9},
    "jammed": {"model": "awgn", "jammer_rb": 9, "jammer_rb_count": 2, "jammer_db": 20.0},
}


@pytest.mark.parametrize("name", CHANNELS)
def test_silence_and_soundings_are_measured_as_with_samples(name):
    heard = {}
    for driver in ("simulated", "abstract"):
        lab = RadioLab(lab_experiment((14.0,), driver, channel=CHANNELS[name]))
        try:
            silent, _ = lab.hear("silent")
            reports = [lab.hear("sounding", [sounding("c0", i, tx_gain_db=-i)])[0].bursts[0] for i in range(4)]
        finally:
            lab.close()
        heard[driver] = silent, reports
    (silent, with_samples), (own_silent, without) = heard["simulated"], heard["abstract"]
    assert own_silent.noise_db == silent.noise_db
    assert own_silent.psd_db == silent.psd_db
    clear = np.ones(28, bool)
    if name == "jammed":
        clear[8:12] = False
        raised = np.array(silent.noise_db) - np.median(silent.noise_db)
        assert np.flatnonzero(raised > 15.0).tolist() == [9, 10]
    for ours, theirs in zip(without, with_samples, strict=True):
        strong = clear & (np.array(theirs.sinr_db) > max(theirs.sinr_db) - 15.0)
        assert np.count_nonzero(strong) > 20
        for field in ("sinr_db", "gain_db"):
            difference = np.array(getattr(ours, field)) - np.array(getattr(theirs, field))
            assert np.max(np.abs(difference[strong])) < 0.25, field
        ripple = np.array(ours.channel_db) - np.array(theirs.channel_db)
        assert np.max(np.abs(ripple[np.array(theirs.channel_db) > max(theirs.channel_db) - 15.0])) < 0.4


def test_power_is_shared_by_the_subcarriers_that_are_loaded():
    link = link_at(10.0)
    sent = {rb: outcome_at(link, rb) for rb in (2, 13)}
    assert len(DEFAULT_2MSPS.loaded_subcarriers(13, 1)) < len(DEFAULT_2MSPS.loaded_subcarriers(2, 1)) == 8
    lighter = 8 / len(DEFAULT_2MSPS.loaded_subcarriers(13, 1))
    assert sent[13] - sent[2] == pytest.approx(10 * np.log10(lighter), abs=1e-9)


def outcome_at(link, rb):
    """Power per loaded subcarrier of a burst in one RB, dB."""
    burst = data_burst("c0", rb, 1, "qpsk-1/2", 1, 5)
    return link.received_db(WINDOW, burst)[0] - 10 * np.log10(len(DEFAULT_2MSPS.loaded_subcarriers(rb, 1)))


def test_a_client_below_the_detectors_reach_is_not_heard():
    assert outcome(link_at(0.0)).detected
    faint = outcome(link_at(-14.0))
    assert not faint.detected
    assert faint.blocks == [None] * BLOCKS


@pytest.mark.parametrize("channel", [{"impairments": "pluto"}, {"inverted_fraction": 0.1}])
def test_what_only_samples_can_follow_is_refused(channel):
    with pytest.raises(ConfigurationError, match=r"radio\.driver.*abstract"):
        open_base_station_radio(lab_experiment((20.0,), "abstract", channel=channel))


def test_deliveries_that_do_not_fit_are_refused_and_counted():
    lab = RadioLab(lab_experiment((20.0,), "abstract", channel={"carrier_offset_ppm": 0.2}))
    try:
        burst = data_burst("c0", 0, 8, "qpsk-1/2", 2, 1)
        window = lab.window("data", [burst])
        lab.base_station.arm(window, [burst])
        client = lab.clients["c0"]
        client._medium.send(b"\xc1 no message")
        for name, blocks in (("c9", random_blocks(1, 2)), ("c0", random_blocks(1, 1)), ("c0", [b"short", b"too"])):
            client._medium.send(delivery_frame(window, name, burst, blocks))
        client.transmit(msgspec.structs.replace(window, index=window.index + 1), burst, random_blocks(1, 2))
        client.transmit(window, burst, random_blocks(1, 2))
        report = lab.base_station.collect(10.0)
        assert report.bursts[0].detected
        assert report.refused == {
            "malformed": 1, "not expected": 1, "impossible blocks": 2, "another window": 1,
        }  # fmt: skip
    finally:
        lab.close()
