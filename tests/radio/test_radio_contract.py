"""The contract of ``radio.interface``, run on every driver."""

from __future__ import annotations

import msgspec
import numpy as np
import psutil
import pytest
from needs import needs_gr_iio, needs_pyadi
from radio_lab import TIMEOUT_S, RadioLab, data_burst, lab_experiment, open_lab, random_blocks, sounding

from protocol.bursts import Window
from protocol.errors import AddressInUseError, ConfigurationError, RadioError
from radio.drivers import open_base_station_radio, open_client_radio
from radio.numerology import DEFAULT_2MSPS

SIMULATED = ["simulated", "abstract"]
SNR_DB = (9.0, 14.0, 19.0, 26.0)
on_simulated = pytest.mark.parametrize("driver", SIMULATED, indirect=True, scope="module")
"""What has no meaning on a desk: a medium at an address, sessions, a channel that repeats itself."""


@pytest.fixture(
    scope="module",
    params=[
        *SIMULATED,
        pytest.param("pluto", marks=needs_pyadi),
        pytest.param("gr-iio", marks=[needs_pyadi, needs_gr_iio]),
    ],
)
def driver(request):
    """The desk is virtual Plutos in wall-clock time."""
    return request.param


@pytest.fixture(scope="module")
def lab(driver):
    lab = open_lab(SNR_DB, driver)
    yield lab
    lab.close()


def heard_equal(report, blocks):
    return [burst.blocks == list(sent) for burst, sent in zip(report.bursts, blocks, strict=True)]


def test_a_silent_window_shows_the_noise_of_every_resource_block(lab):
    report, _ = lab.hear("silent")
    assert len(report.noise_db) == DEFAULT_2MSPS.rb_total
    assert np.allclose(report.noise_db, lab.rb_noise_dbfs, atol=1.5)
    assert len(report.psd_db) == 256
    assert report.bursts == []


@pytest.mark.parametrize("index", range(len(SNR_DB)))
def test_a_sounding_is_heard_in_noise_with_the_right_gain(lab, index):
    member = lab.experiment.clients.members[index]
    report, (sent,) = lab.hear("sounding", [sounding(member.name, burst_id=10 + index)])
    (burst,) = report.bursts
    assert burst.detected
    assert np.mean(burst.gain_db) == pytest.approx(lab.gain_db(member.name), abs=0.3)
    assert burst.snr_db == pytest.approx(lab.snr_db(member.name), abs=0.5)
    assert sent.tx_power_dbm == pytest.approx(lab.experiment.radio.tx_power_dbm)
    assert sent.energy_j == pytest.approx(0.01 * sent.air_samples / 2e6)
    assert report.clipped_samples == 0


def test_an_acquisition_burst_is_found_far_from_its_carrier(lab):
    burst = sounding("c3", burst_id=20, acquisition=True, cfo_correction_hz=100e3)
    burst = msgspec.structs.replace(burst, rb_start=6, rb_count=16)
    report, _ = lab.hear("acquisition", [burst])
    assert report.bursts[0].detected
    assert report.bursts[0].cfo_hz == pytest.approx(100e3, abs=2 * 1.5e-6 * lab.experiment.radio.carrier_hz)


def test_four_clients_at_once_in_adjacent_grants_deliver_their_blocks(lab):
    grants = [(0, 4, "qpsk-1/2", 6), (5, 6, "qpsk-3/4", 12), (12, 6, "16qam-1/2", 16), (19, 9, "16qam-3/4", 30)]
    bursts = [
        data_burst(f"c{i}", *grant, burst_id=100 + i, **lab.corrections(f"c{i}")) for i, grant in enumerate(grants)
    ]
    blocks = [random_blocks(i, len(burst.block_ids)) for i, burst in enumerate(bursts)]
    report, _ = lab.hear("data", bursts, blocks)
    assert heard_equal(report, blocks) == [True] * 4
    assert [burst.client for burst in report.bursts] == ["c0", "c1", "c2", "c3"]
    assert report.lost == []
    assert set(report.stage_s) == {"wait", "ether", "flowgraph", "decode"}


@on_simulated
def test_a_burst_starts_anywhere_in_the_jitter_with_zeros_around_it(lab):
    starts = []
    for i in range(4):
        report, _ = lab.hear("sounding", [sounding("c3", burst_id=30 + i)])
        starts.append(report.bursts[0].start_sample)
    assert all(1024 <= start <= 1024 + lab.experiment.radio.jitter_samples + 1 for start in starts)
    assert len({round(start) for start in starts}) == 4


def test_a_window_longer_than_its_burst_changes_nothing(lab):
    burst = sounding("c3", burst_id=40)
    window = lab.window("sounding", [burst], spare=12_345)
    lab.base_station.arm(window, [burst])
    lab.clients["c3"].transmit(window, burst, [])
    assert lab.base_station.collect(TIMEOUT_S).bursts[0].detected


def test_a_window_does_not_wait_for_a_client_that_is_left_out(lab):
    bursts = [data_burst("c2", 0, 8, "qpsk-1/2", 4, 50, **lab.corrections("c2")), sounding("c0", burst_id=51)]
    window = lab.window("data", bursts)
    blocks = random_blocks(50, 4)
    lab.base_station.arm(window, bursts)
    lab.clients["c2"].transmit(window, bursts[0], blocks)
    with pytest.raises(RadioError, match="did not close"):
        lab.base_station.collect(0.02)
    lab.base_station.leave_out("c0")
    report = lab.base_station.collect(TIMEOUT_S)
    assert report.lost == ["c0"]
    assert report.bursts[0].blocks == blocks
    assert not report.bursts[1].detected


def test_a_burst_that_is_not_the_granted_one_is_reported_absent(lab):
    granted = data_burst("c3", 0, 8, "qpsk-1/2", 4, 60)
    other = data_burst("c3", 0, 8, "qpsk-1/2", 4, 61)
    window = lab.window("data", [granted])
    lab.base_station.arm(window, [granted])
    lab.clients["c3"].transmit(window, other, random_blocks(60, 4))
    (report,) = lab.base_station.collect(TIMEOUT_S).bursts
    assert not report.detected
    assert report.blocks == [None] * 4


@on_simulated
def test_what_another_session_sends_is_not_heard(lab):
    burst = sounding("c3", burst_id=70)
    window = lab.window("sounding", [burst])
    foreign = msgspec.structs.replace(window, session="an earlier life")
    lab.base_station.arm(window, [burst])
    lab.clients["c3"].transmit(foreign, burst, [])
    with pytest.raises(RadioError, match="did not close"):
        lab.base_station.collect(0.2)
    lab.clients["c3"].transmit(window, burst, [])
    assert lab.base_station.collect(TIMEOUT_S).bursts[0].detected


@pytest.mark.parametrize(
    ("burst", "blocks", "reason"),
    [
        (sounding("c3", tx_gain_db=0.5), 0, "above full power"),
        (msgspec.structs.replace(data_burst("c3", 0, 1, "qpsk-1/2", 1, 1), tx_gain_db=0.0), 1, "psd_cap_db"),
        (data_burst("c3", 0, 1, "bpsk-1/2", 200, 1), 200, "samples"),
        (data_burst("c3", 0, 8, "qpsk-1/2", 4, 1), 3, "blocks"),
        (data_burst("c3", 0, 8, "512qam-1/2", 4, 1), 4, "512qam"),
        (data_burst("c3", 25, 8, "qpsk-1/2", 4, 1), 4, "band"),
    ],
)
def test_a_burst_outside_the_limits_is_refused_and_stays_off_the_air(lab, burst, blocks, reason):
    window = Window(lab.session, 3, 9999, "data", 2**18)
    with pytest.raises(RadioError, match=reason):
        lab.clients["c3"].transmit(window, burst, random_blocks(1, blocks))


def test_a_burst_that_does_not_fit_its_window_is_refused(lab):
    burst = sounding("c3")
    window = msgspec.structs.replace(lab.window("sounding", [burst]), n_samples=4096)
    with pytest.raises(RadioError, match="too short"):
        lab.clients["c3"].transmit(window, burst, [])


def test_a_second_arm_is_refused_and_leaves_the_first_window_alone(lab):
    burst = sounding("c3", burst_id=80)
    window = lab.window("sounding", [burst])
    lab.base_station.arm(window, [burst])
    with pytest.raises(RadioError, match="still armed"):
        lab.base_station.arm(lab.window("silent", []), [])
    lab.clients["c3"].transmit(window, burst, [])
    assert lab.base_station.collect(TIMEOUT_S).bursts[0].detected


def test_two_bursts_of_one_client_in_a_window_are_refused(lab):
    bursts = [sounding("c0", burst_id=1), sounding("c0", burst_id=2)]
    with pytest.raises(RadioError, match="one burst at a time"):
        lab.base_station.arm(lab.window("sounding", bursts), bursts)


def test_a_burst_that_cannot_be_is_refused_when_it_is_armed(lab):
    burst = data_burst("c0", 0, 8, "512qam-1/2", 4, 1)
    with pytest.raises(ConfigurationError, match="512qam"):
        lab.base_station.arm(Window(lab.session, 3, 9999, "data", 2**18), [burst])


def test_collect_without_an_armed_window_is_refused(lab):
    with pytest.raises(RadioError, match="no window is armed"):
        lab.base_station.collect(1.0)


def test_closing_ends_every_process_and_is_safe_twice(driver):
    before = set(psutil.Process().children(recursive=True))
    lab = open_lab((20.0,), driver)
    lab.hear("sounding", [sounding("c0")])
    lab.close()
    lab.close()
    assert set(psutil.Process().children(recursive=True)) <= before
    with pytest.raises(RadioError, match="closed"):
        lab.base_station.arm(lab.window("silent", []), [])
    with pytest.raises(RadioError, match="closed"):
        lab.clients["c0"].transmit(lab.window("sounding", []), sounding("c0"), [])


def windows_of_a_session(driver, **channel):
    """Reports of a silent, two sounding and a data window, stage times taken off."""
    lab = RadioLab(lab_experiment((12.0, 22.0), driver, channel={"model": "rayleigh", **channel}))
    try:
        reports = [lab.hear("silent")[0]]
        reports += [lab.hear("sounding", [sounding(name, burst_id=5)])[0] for name in ("c0", "c1")]
        bursts = [
            data_burst("c0", 0, 8, "qpsk-1/2", 8, 91, **lab.corrections("c0")),
            data_burst("c1", 9, 12, "16qam-1/2", 20, 92, **lab.corrections("c1")),
        ]
        reports.append(lab.hear("data", bursts, [random_blocks(1, 8), random_blocks(2, 20)])[0])
    finally:
        lab.close()
    return [msgspec.structs.replace(report, stage_s={}) for report in reports]


@on_simulated
def test_the_same_seed_and_windows_give_bit_identical_reports(driver):
    first = windows_of_a_session(driver, lost_block_rate=0.3)
    again = windows_of_a_session(driver, lost_block_rate=0.3)
    assert msgspec.msgpack.encode(first) == msgspec.msgpack.encode(again)
    assert None in first[-1].bursts[1].blocks


@on_simulated
def test_a_base_station_restarted_at_its_address_hears_client_radios_that_lived_on(driver):
    lab = RadioLab(lab_experiment((20.0,), driver))
    try:
        lab.hear("sounding", [sounding("c0")])
        address = lab.base_station.radio_address
        lab.base_station.close()
        experiment = lab_experiment((20.0,), driver, clients={"radio_address": address})
        lab.base_station, lab.session = open_base_station_radio(experiment), "second life"
        report, _ = lab.hear("sounding", [sounding("c0", burst_id=2)])
        assert report.bursts[0].detected
    finally:
        lab.close()


@on_simulated
def test_an_address_in_use_is_named(lab, driver):
    taken = lab.base_station.radio_address
    with pytest.raises(AddressInUseError, match=taken):
        open_base_station_radio(lab_experiment((20.0,), driver, clients={"radio_address": taken}))


@on_simulated
@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({"jammer_rb": 27, "jammer_rb_count": 2}, "leaves the band of 28 RBs"),
        ({"model": "tdl-c", "delay_spread_s": 9e-6}, "echoes of tdl-c"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_before_the_first_window(driver, channel, message):
    with pytest.raises(ConfigurationError, match=message):
        open_base_station_radio(lab_experiment((20.0,), driver, channel=channel))


@on_simulated
def test_a_client_radio_without_a_base_station_can_be_closed(driver):
    radio = open_client_radio("c0", lab_experiment((20.0,), driver), "tcp://127.0.0.1:9")
    radio.close()
