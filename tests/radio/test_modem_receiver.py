import numpy as np
import pytest
from radio_lab import random_impairments

from protocol.bursts import DataBurst, SoundingBurst
from protocol.random_streams import random_stream
from radio.channel.medium import phasor
from radio.link_tables import LinkTables
from radio.modem import McsTable, max_blocks, receive
from radio.modem.detection import detect
from radio.modem.layout import MAX_CFO_DATA_HZ, burst_layout, max_cfo_hz
from radio.modem.ofdm import modulate_grid
from radio.modem.sequences import training_grid
from radio.modem.trial import (
    Impairments,
    Neighbour,
    Scene,
    branch,
    noise_power,
    random_blocks,
    send,
    transmitted,
    white_noise,
)
from radio.numerology import DEFAULT_2MSPS

CLEAN_DB = 40.0


def data_burst(mcs="qpsk-1/2", rb_start=2, rb_count=7, blocks=None, burst_id=77, clock_ppm=0.0):
    blocks = blocks or max_blocks(rb_start, rb_count, mcs, DEFAULT_2MSPS)
    return DataBurst(
        client="a",
        burst_id=burst_id,
        rb_start=rb_start,
        rb_count=rb_count,
        mcs=mcs,
        block_ids=list(range(blocks)),
        clock_offset_ppm=clock_ppm,
    )


def over_the_air(rng, burst, snr_db, max_offset_hz=1900.0, clock_ppm=0.0):
    """Random content sent and received; returns (blocks sent, report, impairments)."""
    blocks = random_blocks(rng, burst) if isinstance(burst, DataBurst) else []
    impairments = random_impairments(rng, snr_db, max_offset_hz, clock_ppm)
    return blocks, receive(burst, send(rng, burst, blocks, impairments, DEFAULT_2MSPS), DEFAULT_2MSPS), impairments


def received(blocks, report):
    """Blocks that came out right; none may come out wrong."""
    assert all(got in (None, sent) for got, sent in zip(report.blocks, blocks, strict=True))
    return sum(got is not None for got in report.blocks)


@pytest.mark.parametrize("mcs", [scheme.name for scheme in McsTable.load().of("convolutional")])
def test_every_mcs_decodes_a_little_above_its_threshold(mcs):
    snr_db = LinkTables.load().required_snr_db(mcs, 0.1) + 1.5
    rng = random_stream(1, "above threshold", mcs)
    sent = arrived = 0
    for index in range(4):
        ppm = float(rng.uniform(-25, 25))
        burst = data_burst(mcs, blocks=6, burst_id=100 + index, clock_ppm=ppm)
        blocks, report, _ = over_the_air(rng, burst, snr_db, clock_ppm=ppm)
        sent += len(blocks)
        arrived += received(blocks, report)
    assert arrived >= sent - 2


@pytest.mark.parametrize(("rb_start", "rb_count"), [(0, 28), (13, 1), (14, 1), (27, 1), (12, 4), (13, 2)], ids=str)
def test_grants_of_every_width_decode_also_across_the_carrier(rb_start, rb_count):
    rng = random_stream(2, "grants", rb_start, rb_count)
    burst = data_burst("qpsk-1/2", rb_start, rb_count, blocks=2)
    blocks, report, impairments = over_the_air(rng, burst, 8.0)
    assert received(blocks, report) == 2
    assert report.start_sample == pytest.approx(impairments.start, abs=4.0)
    assert report.cfo_hz == pytest.approx(impairments.cfo_hz, abs=10.0)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("clock_ppm", [50.0, -50.0])
@pytest.mark.parametrize("rb_count", [4, 28])
def test_a_clock_50_ppm_off_is_followed_through_the_longest_burst(rb_count, clock_ppm, told):
    rng = random_stream(3, "clock", rb_count, str(clock_ppm))
    told_wrong_by = 2.0
    burst = data_burst("16qam-3/4", 0, rb_count, clock_ppm=clock_ppm + told_wrong_by if told else 0.0)
    blocks, report, _ = over_the_air(rng, burst, 20.0, clock_ppm=clock_ppm)
    assert received(blocks, report) == len(blocks)
    # 13 samples late or early at the end, and no more error than the noise's.
    assert report.evm_db == pytest.approx(-20.0, abs=0.3)


def test_an_expected_burst_that_is_not_sent_is_reported_absent():
    burst = data_burst(blocks=3)
    noise = white_noise(random_stream(4, "absent"), 40_000, 1.0)
    report = receive(burst, noise, DEFAULT_2MSPS)
    assert not report.detected
    assert report.blocks == [None] * 3
    assert report.air_samples > 0


def test_a_stream_too_short_for_the_burst_is_reported_absent():
    assert not receive(data_burst(blocks=3), np.ones(100, np.complex64), DEFAULT_2MSPS).detected


def test_silence_is_reported_absent():
    assert not receive(data_burst(blocks=1), np.zeros(20_000, np.complex64), DEFAULT_2MSPS).detected


def test_another_burst_in_the_same_grant_is_not_taken_for_the_expected_one():
    rng = random_stream(5, "other burst")
    for burst_id in range(200, 206):
        other = data_burst(blocks=3, burst_id=burst_id)
        stream = send(rng, other, random_blocks(rng, other), random_impairments(rng, CLEAN_DB, 1e3, 0.0), DEFAULT_2MSPS)
        assert not receive(data_burst(blocks=3, burst_id=99), stream, DEFAULT_2MSPS).detected


@pytest.mark.parametrize(
    "burst",
    [
        data_burst(blocks=1, rb_count=1),
        data_burst(blocks=1, rb_count=28, rb_start=0),
        SoundingBurst(client="a", burst_id=7, rb_start=0, rb_count=28),
    ],
    ids=["1-rb", "28-rb", "sounding"],
)
def test_false_alarms_under_noise_stay_at_the_designed_rate(burst):
    layout = burst_layout(burst, DEFAULT_2MSPS)
    training = training_grid(burst.burst_id, layout)
    reference = modulate_grid(training[: layout.detection_symbols], layout)
    rng = random_stream(6, "false alarms", burst.rb_count)
    designed = 0.1
    windows = 120
    alarms = 0
    for _ in range(windows):
        noise = white_noise(rng, layout.samples + 2048, 1.0)
        alarms += detect(noise, reference, layout, max_cfo_hz(burst), designed) is not None
    assert alarms <= windows * designed + 3.0 * np.sqrt(windows * designed * (1.0 - designed))


@pytest.mark.parametrize("rb_count", [1, 3, 8, 16, 28])
def test_bursts_are_found_down_to_minus_2_db(rb_count):
    rng = random_stream(14, "weak", rb_count)
    found = 0
    for index in range(15):
        burst = data_burst("qpsk-1/2", 0, rb_count, blocks=1, burst_id=300 + index)
        _, report, impairments = over_the_air(rng, burst, -2.0)
        found += report.detected and abs(report.start_sample - impairments.start) < 8.0
    assert found == 15


@pytest.mark.parametrize("rb_count", [4, 28])
def test_schemes_for_less_have_the_training_and_pilots_to_work_there(rb_count):
    rng = random_stream(16, "weaker", rb_count)
    for index in range(4):
        burst = data_burst("qpsk-78-short", 0, rb_count, blocks=1, burst_id=400 + index)
        blocks, report, _ = over_the_air(rng, burst, -7.0)
        assert received(blocks, report) == 1


@pytest.mark.parametrize("above_db", [0.0, 20.0])
def test_a_tone_in_one_resource_block_hides_no_burst(above_db):
    rng = random_stream(15, "tone", str(above_db))
    arrived = 0
    for index in range(8):
        burst = data_burst("qpsk-1/2", 6, 16, blocks=2, burst_id=500 + index)
        frequency_hz = DEFAULT_2MSPS.centre_hz(12, 1) + rng.uniform(-20e3, 20e3)
        amplitude = np.sqrt(10 ** (above_db / 10) / 16)
        scene = Scene(receiver=lambda x, f=frequency_hz, a=amplitude: x + a * phasor(len(x), f / 2e6, 0, 1.0))
        blocks = random_blocks(rng, burst)
        impairments = random_impairments(rng, 9.0, 1900.0, 0.0)
        report = receive(burst, send(rng, burst, blocks, impairments, DEFAULT_2MSPS, scene), DEFAULT_2MSPS)
        assert report.detected
        assert report.cfo_hz == pytest.approx(impairments.cfo_hz, abs=30.0)
        arrived += received(blocks, report)
    assert arrived >= 15


@pytest.mark.parametrize(("mcs", "count"), [("64qam-3/4", 200), ("64qam-719", 40), ("qpsk-277-short", 40)])
def test_noise_that_is_taken_for_a_burst_passes_no_crc(mcs, count):
    rng = random_stream(7, "noise after training")
    burst = data_burst(mcs, 0, 28, blocks=count)
    stream = transmitted(burst, random_blocks(rng, burst), DEFAULT_2MSPS, 1500.0)
    layout = burst_layout(burst, DEFAULT_2MSPS)
    data_begins = 1500 + layout.training_symbols * layout.symbol_samples
    stream[data_begins:] = white_noise(rng, len(stream) - data_begins, 1.0)
    report = receive(burst, branch(burst, stream, DEFAULT_2MSPS), DEFAULT_2MSPS)
    assert report.detected
    assert report.blocks == [None] * count


def test_inverted_stretches_fail_their_blocks_and_only_those():
    rng = random_stream(8, "inverted")
    burst = data_burst("qpsk-1/2", 0, 28, blocks=60)
    blocks = random_blocks(rng, burst)
    stream = transmitted(burst, blocks, DEFAULT_2MSPS, 1500.0)
    inverted = slice(40_000, 40_000 + 14 * 280)
    stream[inverted] *= -1.0
    stream += white_noise(rng, len(stream), noise_power(burst, CLEAN_DB, DEFAULT_2MSPS))
    report = receive(burst, branch(burst, stream, DEFAULT_2MSPS), DEFAULT_2MSPS)
    lost = [index for index, block in enumerate(report.blocks) if block is None]
    assert 1 <= len(lost) <= 8
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert received(blocks, report) == 60 - len(lost)


@pytest.mark.parametrize("rb_count", [1, 3, 7])
def test_neighbours_20_db_stronger_in_each_resource_block_do_no_harm(rb_count):
    rng = random_stream(9, "near far", rb_count)
    rb_start, neighbour_rbs = 10, 4
    burst = data_burst("qpsk-1/2", rb_start, rb_count, blocks=2)
    blocks = random_blocks(rng, burst)
    neighbours = []
    for index, start in enumerate((rb_start - 1 - neighbour_rbs, rb_start + rb_count + 1)):
        other = data_burst("16qam-3/4", start, neighbour_rbs, burst_id=900 + index)
        neighbours.append(Neighbour(other, random_blocks(rng, other), 20.0, 1100.0 + 700.0 * index, 1500.0))
    scene = Scene(neighbours=tuple(neighbours))
    impairments = Impairments(snr_db=6.0, start=2000.3, tail=4000)
    report = receive(burst, send(rng, burst, blocks, impairments, DEFAULT_2MSPS, scene), DEFAULT_2MSPS)
    assert received(blocks, report) == 2
    assert report.snr_db == pytest.approx(6.0, abs=1.0)


def test_the_report_measures_gain_noise_sinr_and_error_vector():
    rng = random_stream(10, "report")
    burst = data_burst("qpsk-1/2", 4, 7, blocks=6)
    gain = 10.0 ** (-31.0 / 20.0)
    impairments = Impairments(snr_db=14.0, cfo_hz=-700.0)
    stream = send(rng, burst, random_blocks(rng, burst), impairments, DEFAULT_2MSPS) * np.float32(gain)
    report = receive(burst, stream, DEFAULT_2MSPS)
    assert len(report.gain_db) == len(report.noise_db) == len(report.sinr_db) == 7
    np.testing.assert_allclose(report.gain_db, -31.0, atol=0.7)
    np.testing.assert_allclose(report.sinr_db, 14.0, atol=1.2)
    # Unit power over 7 RBs, 14 dB above the noise of an RB, 31 dB down.
    np.testing.assert_allclose(report.noise_db, -10 * np.log10(7) - 14.0 - 31.0, atol=1.0)
    assert report.rx_power_dbfs == pytest.approx(-31.0, abs=0.3)
    assert report.evm_db == pytest.approx(-14.0, abs=0.7)
    points = np.frombuffer(report.constellation, np.complex64)
    assert len(points) == 512
    assert np.median(np.abs(np.abs(points.real) - np.sqrt(0.5))) < 0.2


def test_a_frequency_selective_channel_is_equalised():
    rng = random_stream(11, "selective")
    burst = data_burst("qpsk-1/2", 0, 28, blocks=40)
    blocks = random_blocks(rng, burst)
    stream = transmitted(burst, blocks, DEFAULT_2MSPS, 1500.0)
    echo = np.concatenate([np.zeros(3, np.complex64), stream[:-3]])
    stream = stream + np.complex64(0.7j) * echo
    stream += white_noise(rng, len(stream), noise_power(burst, 14.0, DEFAULT_2MSPS))
    report = receive(burst, branch(burst, stream, DEFAULT_2MSPS), DEFAULT_2MSPS)
    assert received(blocks, report) == 40
    subcarriers = burst_layout(burst, DEFAULT_2MSPS).subcarriers
    expected_db = 20 * np.log10(np.abs(1 + 0.7j * np.exp(-2j * np.pi * 3 * subcarriers / 256)))
    assert np.sqrt(np.mean((np.array(report.channel_db) - expected_db) ** 2)) < 0.7


def test_the_channel_of_a_short_weak_burst_is_smoothed():
    burst = data_burst("qpsk-1/2", 0, 28, blocks=2)
    _, report, _ = over_the_air(random_stream(13, "short and weak"), burst, 5.0)
    assert np.sqrt(np.mean(np.square(report.channel_db))) < 0.8


def test_the_largest_data_offset_is_found():
    rng = random_stream(12, "edge of the search")
    burst = data_burst(blocks=3)
    blocks = random_blocks(rng, burst)
    for sign in (-1.0, 1.0):
        impairments = Impairments(snr_db=6.0, cfo_hz=sign * MAX_CFO_DATA_HZ)
        report = receive(burst, send(rng, burst, blocks, impairments, DEFAULT_2MSPS), DEFAULT_2MSPS)
        assert received(blocks, report) == 3
