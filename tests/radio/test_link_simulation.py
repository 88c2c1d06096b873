"""The engine of ``airtune link simulate``: what its figures mean, and that they depend on nothing else."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from protocol.errors import ConfigurationError
from protocol.random_streams import random_stream
from radio.link_tables import LinkTables
from radio.modem import burst_air_samples
from radio.modem.trial import branch, received
from radio.processes.lifetime import PEER_GONE_EXIT
from radio.simulation.burst import BurstOutcome, simulate_burst, subcarrier_gains
from radio.simulation.mcs_choice import block_error_target, choose_burst_mcs
from radio.simulation.results import block_payload_bits, summarise
from radio.simulation.scenario import Point, Scenario, check
from radio.simulation.stock_modem import load_stock_modem
from radio.simulation.sweep import sweep
from radio.simulation.workers import Batch, Workers

SMALL = Scenario(codec="convolutional", rb_count=7, payload_bits=8000)


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as one:
        yield one


def outcome(mcs="qpsk-1/2", blocks=4, lost=0, air_samples=20_000, spectral_capacity=2.0, detected=True, wrong=0):
    return BurstOutcome(mcs, detected, blocks, lost, wrong, air_samples, spectral_capacity, -10.0)


@pytest.mark.parametrize("rb_count", [2, 16, 28])
def test_snr_is_received_power_while_on_over_noise_in_the_granted_bandwidth(rb_count, monkeypatch):
    """Measured on the full-rate stream itself: power within the burst, noise before it."""
    measured_db = []

    def measuring_send(rng, burst, blocks, impairments, numerology, scene):
        stream = received(rng, burst, blocks, impairments, numerology, scene)
        begin = int(impairments.start)
        noise = np.mean(np.abs(stream[: begin - 300]) ** 2)
        power = np.mean(np.abs(stream[begin : begin + burst_air_samples(burst, numerology)]) ** 2) - noise
        granted_noise = noise / numerology.sample_rate_hz * rb_count * numerology.rb_bandwidth_hz
        measured_db.append(10.0 * math.log10(power / granted_noise))
        return branch(burst, stream, numerology)

    monkeypatch.setattr("radio.simulation.burst.send", measuring_send)
    scenario = msgspec.structs.replace(SMALL, rb_count=rb_count, payload_bits=10_000)
    for index in range(12):
        simulate_burst(scenario, Point(27.0, "16qam-3/4"), index)
    # Twelve stretches of 700 to 2700 samples of noise, and content of more or less power: a deviation of 0.04 dB.
    assert np.mean(measured_db) == pytest.approx(27.0, abs=0.15)


def test_figures_of_a_point_follow_the_contract():
    bursts = [outcome(), outcome(lost=1), outcome(lost=4, detected=False), outcome(wrong=1, lost=1)]
    result = summarise(SMALL, Point(4.0, "qpsk-1/2"), bursts)
    assert (result.snr_db, result.mcs) == (4.0, "qpsk-1/2")
    assert result.burst_error_rate == 3 / 4
    assert result.block_error_rate == 6 / 16
    assert result.bandwidth_hz == 8 * 62.5e3
    assert result.goodput_bps == pytest.approx(10 * 8 * 252 * 2006 / 2016 / (4 * 20_000 / 2e6))
    assert result.capacity_bps == pytest.approx(result.bandwidth_hz * 2.0)
    assert result.efficiency == pytest.approx(result.goodput_bps / result.capacity_bps)
    assert (result.bursts, result.bursts_missed, result.wrong_blocks) == (4, 1, 1)


def test_bursts_of_different_schemes_are_weighed_by_their_air_time():
    bursts = [outcome(air_samples=10_000), outcome("16qam-1/2", air_samples=70_000, spectral_capacity=4.0)]
    result = summarise(SMALL, Point(4.0, "auto"), bursts)
    assert result.mcs == "auto"
    assert result.mcs_bursts == {"16qam-1/2": 1, "qpsk-1/2": 1}
    assert result.goodput_bps == pytest.approx(8 * block_payload_bits("qpsk-1/2") / (80_000 / 2e6))
    assert result.capacity_bps == pytest.approx(result.bandwidth_hz * 3.0)


def test_capacity_of_an_awgn_channel_is_the_textbook_one():
    result = summarise(SMALL, Point(9.0, "qpsk-1/2"), [simulate_burst(SMALL, Point(9.0, "qpsk-1/2"), 0)])
    assert result.capacity_bps == pytest.approx(8 * 62.5e3 * math.log2(1 + 10**0.9))
    assert result.burst_error_rate == 0.0


def test_capacity_in_fading_is_the_mean_over_realisations_and_subcarriers():
    scenario = msgspec.structs.replace(SMALL, channel="tdl-c", rb_count=14)
    found = [simulate_burst(scenario, Point(9.0, "qpsk-1/2"), index).spectral_capacity for index in range(4)]
    assert len(set(found)) == 4
    mean = np.mean([_ergodic_spectral_capacity(scenario, 9.0, index) for index in range(4)])
    assert np.mean(found) == pytest.approx(mean)


def _ergodic_spectral_capacity(scenario, snr_db, index):
    from radio.channel.fading import draw_taps

    rng = random_stream(scenario.seed, "link simulation", round(1000 * snr_db), "qpsk-1/2", index)
    gains = subcarrier_gains(scenario, draw_taps(rng, scenario.fading))
    return np.mean(np.log2(1.0 + 10.0 ** (0.1 * snr_db) * gains))


@pytest.mark.parametrize("channel", ["rayleigh", "rician", "tdl-a"])
def test_channels_have_a_mean_power_of_one(channel):
    from radio.channel.fading import draw_taps

    scenario = msgspec.structs.replace(SMALL, channel=channel)
    rng = random_stream(3, "mean power", channel)
    gains = [subcarrier_gains(scenario, draw_taps(rng, scenario.fading)).mean() for _ in range(2000)]
    assert np.mean(gains) == pytest.approx(1.0, abs=0.1)


def test_error_rates_fall_and_goodput_rises_with_snr(workers):
    points = [Point(snr_db, "qpsk-1/2") for snr_db in (1.0, 2.5, 4.0, 6.0)]
    results = sweep(SMALL, points, 12, workers)
    rates = [result.block_error_rate for result in results]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9
    assert 0.0 < rates[1] < 1.0
    assert rates[-1] == 0.0
    goodput = [result.goodput_bps for result in results]
    assert goodput == sorted(goodput)
    assert all(result.burst_error_rate >= result.block_error_rate for result in results)


def test_figures_do_not_depend_on_the_number_of_processes(workers):
    points = [Point(2.5, "qpsk-1/2"), Point(9.0, "auto")]
    told = []
    alone = sweep(SMALL, points, 7, workers)
    with Workers(2) as two:
        together = sweep(SMALL, points, 7, two, bursts_done=told.append)
    assert together == alone
    assert sum(told) == 14
    assert sweep(msgspec.structs.replace(SMALL, seed=2), points, 7, workers) != alone


def test_what_a_worker_cannot_do_is_raised_here(workers):
    with pytest.raises(ConfigurationError, match="unknown MCS"):
        list(workers.run([Batch(0, SMALL, Point(5.0, "8psk-1/2"), 0, 1)]))


def test_a_worker_ends_by_itself_when_its_parent_is_gone():
    with Workers(1) as alone:
        (worker,) = alone._workers
        # What the kernel does for a parent that was killed.
        worker.link.close()
        assert worker.process.wait(timeout=30.0) == PEER_GONE_EXIT


def test_neighbours_fill_the_rest_of_the_band_beside_guards():
    for rb_count, neighbours in ((6, 3), (16, 1), (10, 2), (7, 3)):
        grants = msgspec.structs.replace(SMALL, rb_count=rb_count, neighbours=neighbours).grants
        assert grants[0].rb_count == rb_count
        in_order = sorted(grants)
        for left, right in pairwise(in_order):
            assert right.rb_start == left.rb_start + left.rb_count + 1
        assert in_order[0].rb_start == 0
        assert in_order[-1].rb_start + in_order[-1].rb_count <= 28


def test_neighbours_and_imperfect_radios_are_on_the_air(workers):
    """60 dB is beyond what the filters keep out, 40 dB beyond what a -45 dBc image leaves; 20 dB is neither."""
    scenario = msgspec.structs.replace(SMALL, rb_count=6, neighbours=3)
    loud = msgspec.structs.replace(scenario, neighbour_db=60.0)
    clean = msgspec.structs.replace(scenario, neighbour_db=40.0)
    pluto = msgspec.structs.replace(clean, impairments="pluto")
    point = Point(16.0, "16qam-3/4")
    for fine in (scenario, clean):
        assert sweep(fine, [point], 4, workers)[0].block_error_rate == 0.0
    for spoilt in (loud, pluto):
        assert sweep(spoilt, [point], 4, workers)[0].block_error_rate > 0.5


def test_auto_takes_the_fastest_scheme_that_holds_its_target():
    tables = LinkTables.load().of("convolutional")
    scenario = msgspec.structs.replace(SMALL, rb_count=16, payload_bits=100_000)
    chosen = []
    for snr_db in np.arange(-5.0, 30.0, 0.5):
        mcs = choose_burst_mcs(scenario, [snr_db])
        allowed = {
            name
            for name in tables.mcs_names
            if 1.0 - (1.0 - tables.block_error_rate(name, snr_db)) ** scenario.blocks(name)
            <= scenario.burst_error_target + 1e-9
        }
        goodput = {
            name: (1.0 - tables.block_error_rate(name, snr_db)) * scenario.blocks(name) / scenario.air_s(name)
            for name in allowed
        }
        assert goodput[mcs] == pytest.approx(max(goodput.values())) if goodput else mcs == "bpsk-1/2"
        chosen.append(mcs)
    assert len(set(chosen)) >= 6


def test_a_burst_of_independent_blocks_meets_its_target():
    assert 1.0 - (1.0 - block_error_target(0.1, 12)) ** 12 == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rb_count": 0}, "--rb 0: must be 1 to 28"),
        ({"rb_count": 29}, "--rb 29: must be"),
        ({"payload_bits": 0}, "--payload-bits 0"),
        ({"channel": "tdl-z"}, "unknown channel 'tdl-z'; known: awgn"),
        ({"codec": "turbo"}, "unknown codec 'turbo'"),
        ({"impairments": "usrp"}, "unknown impairments 'usrp'"),
        ({"neighbours": 3, "rb_count": 24}, "--neighbours 3 beside --rb 24 do not fit"),
        ({"channel": "tdl-c", "delay_spread_s": 9e-6}, "--delay-spread-ns 9000: must be 0 to 1022"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused_before_it_starts(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        check(msgspec.structs.replace(SMALL, **changes), [Point(5.0, "qpsk-1/2")])


@pytest.mark.parametrize("snr_db", [math.nan, math.inf, -1000.0])
def test_an_absurd_snr_is_refused(snr_db):
    with pytest.raises(ConfigurationError, match="--snr-db"):
        check(SMALL, [Point(snr_db, "qpsk-1/2")])


def test_the_stock_modem_was_measured_over_the_whole_range():
    stock = load_stock_modem()
    assert [point.snr_db for point in stock.points] == list(range(31))
    assert stock.command.startswith("python -m benchmarks.stock_modem")
    assert 0.1 < max(point.efficiency for point in stock.points) < 0.4
