"""What a receiver gets of others' signals, against computed truth: levels, carriers, fades."""

import math

import numpy as np
import pytest
from iiod_client import DAC, PHY, XADC, peak
from virtual_bench import LO_HZ, PERIOD, RATE_HZ, radios

from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, draw_taps, frequency_response
from radio.virtual.control_messages import SetCrystal, SetLink


@pytest.mark.parametrize(("tx_gain_db", "gain_db"), [(0.0, 50), (-10.0, 60), (-30.25, 70)])
def test_the_level_is_the_link_budget_s(bench_of, tx_gain_db, gain_db):
    tables = {"medium": {"loss_db": 70.0}, "radio": radios(0.0, 0.0)}
    bench = bench_of(tables, tx_gain_db=tx_gain_db, gain_db=gain_db)
    bench.send_tone(200, amplitude=0.25)
    frequency_hz, level_dbfs = peak(bench.receive(), RATE_HZ)
    assert frequency_hz == pytest.approx(200 * RATE_HZ / PERIOD, abs=1.0)
    assert level_dbfs == pytest.approx(7.0 + tx_gain_db - 12.04 - 70.0 + gain_db, abs=0.05)


def test_a_link_s_own_loss_its_distance_and_positions_set_the_level(bench_of):
    places = radios(0.0, 0.0, 0.0, 0.0)
    places[0]["position_m"], places[2]["position_m"] = [0.0, 0.0], [30.0, 40.0, 0.0]
    law = {"path_loss_1m_db": 40.0, "path_loss_exponent": 3.0}
    links = [{"between": ["r1", "r0"], "loss_db": 77.0}, {"between": ["r0", "r3"], "distance_m": 10.0}]
    bench = bench_of({"medium": law, "radio": places, "link": links}, tx_gain_db=0.0, gain_db=60)
    for sender, loss_db in ((1, 77.0), (2, 40.0 + 30.0 * math.log10(50.0)), (3, 70.0)):
        bench.send_tone(100, sender=sender)
        _, level_dbfs = peak(bench.receive(), RATE_HZ)
        assert level_dbfs == pytest.approx(7.0 - 6.02 - loss_db + 60.0, abs=0.05)
        bench.clients[sender].ask(f"CLOSE {DAC}")


def test_a_changed_link_is_heard_at_once(bench_of):
    bench = bench_of({"radio": radios(0.0, 0.0)}, gain_db=60)
    bench.send_tone(100)
    bench.plutos.control(SetLink(between=["r1", "r0"], loss_db=80.0))
    assert peak(bench.receive(), RATE_HZ)[1] == pytest.approx(7.0 - 10.0 - 6.02 - 80.0 + 60.0, abs=0.1)


def test_carrier_and_clock_follow_from_the_crystals_and_the_correction_takes_both_out(bench_of):
    ppm = (-7.3, 12.4)
    bench = bench_of({"radio": radios(*ppm)}, tx_gain_db=0.0)
    bench.send_tone(500)
    tone_hz = 500 * RATE_HZ / PERIOD

    def expected_hz(corrections):
        factor = [(1.0 + p * 1e-6) * 40e6 / c for p, c in zip(ppm, corrections, strict=True)]
        # The tone is made with the sender's clock and measured with the receiver's.
        return ((LO_HZ + tone_hz) * factor[1] - LO_HZ * factor[0]) / factor[0]

    assert expected_hz([40e6, 40e6]) - tone_hz == pytest.approx(19.7 * 915, abs=20)
    assert peak(bench.receive(), RATE_HZ)[0] == pytest.approx(expected_hz([40e6, 40e6]), abs=0.5)
    corrections = [round(40e6 * (1.0 + p * 1e-6)) for p in ppm]
    for client, correction in zip(bench.clients, corrections, strict=True):
        client.set(PHY, "xo_correction", correction)
    left_hz = peak(bench.receive(), RATE_HZ)[0]
    assert left_hz == pytest.approx(expected_hz(corrections), abs=0.5)
    assert abs(left_hz - tone_hz) < 2 * 11.5  # half a hertz of 40 MHz in each radio


def test_the_crystal_moves_with_temperature_and_on_command(bench_of):
    tables = radios(0.0, 0.0, crystal_ppm_per_c=0.5, warm_up_c=20.0, warm_up_s=0.05, temperature_c=40.0)
    tables[0] |= {"crystal_ppm_per_c": 0.0}
    bench = bench_of({"radio": tables}, tx_gain_db=0.0)

    def temperatures():
        raw = int(bench.clients[1].read(f"{XADC} INPUT temp0", "raw"))
        return int(bench.clients[1].read(f"{PHY} INPUT temp0", "input")) / 1e3, (raw - 2219) * 0.123040771484

    assert temperatures()[0] == pytest.approx(20.0, abs=0.01)
    assert temperatures()[1] == pytest.approx(20.0, abs=0.07)
    for _ in range(10):
        bench.plutos.advance(RATE_HZ // 10)
    assert temperatures()[0] == pytest.approx(40.0, abs=0.01)
    bench.send_tone(0)
    assert peak(bench.receive(), RATE_HZ)[0] == pytest.approx(0.0, abs=1.0)
    bench.plutos.control(SetCrystal(radio="r1", temperature_c=30.0))
    assert peak(bench.receive(), RATE_HZ)[0] == pytest.approx(-5.0 * 915, abs=2.0)
    bench.plutos.control(SetCrystal(radio="r1", ppm=3.0))
    assert peak(bench.receive(), RATE_HZ)[0] == pytest.approx(-2.0 * 915, abs=2.0)


def test_a_tone_beyond_the_receiver_s_band_does_not_fold_into_it(bench_of):
    bench = bench_of({"radio": radios(0.0, 0.0)}, tx_gain_db=0.0)
    for side in ("RX", "TX"):
        bench.clients[0].set(f"{PHY} OUTPUT {side}_LO", "frequency", LO_HZ - 1_000_000)
    bench.send_tone(100)
    frequency_hz, level_dbfs = peak(bench.receive(), RATE_HZ)
    assert frequency_hz == pytest.approx(1_000_000 + 100 * RATE_HZ / PERIOD, abs=1.0)
    assert level_dbfs == pytest.approx(7.0 - 6.02 - 60.0 + 30.0, abs=0.1)
    bench.clients[1].ask(f"CLOSE {DAC}")
    bench.send_tone(1000)
    assert peak(bench.receive(), RATE_HZ)[1] < -85.0


@pytest.mark.parametrize("sender_rate_hz", [5_000_000, 10_000_000])
def test_radios_at_different_rates_hear_each_other(bench_of, sender_rate_hz):
    bench = bench_of({"radio": radios(0.0, 3.0)}, tx_gain_db=0.0)
    bench.clients[1].set(f"{PHY} INPUT voltage0", "sampling_frequency", sender_rate_hz)
    bench.send_tone(100)
    frequency_hz, level_dbfs = peak(bench.receive(1 << 12), RATE_HZ)
    assert frequency_hz == pytest.approx(100 * sender_rate_hz / PERIOD + 3.0 * 915, abs=5.0)
    assert level_dbfs == pytest.approx(7.0 - 6.02 - 60.0 + 30.0, abs=0.1)


def test_a_fade_is_the_drawn_one_and_another_after_a_redraw(bench_of):
    medium = {"model": "tdl-c", "delay_spread_s": 400e-9, "seed": 5}
    bench = bench_of({"medium": medium, "radio": radios(0.0, 0.0)}, tx_gain_db=0.0)
    bench.send_tone(600)
    model = FadingModel("tdl-c", 400e-9)
    for realisation in (0, 1):
        taps = draw_taps(random_stream(5, "virtual fade", "r0", "r1", realisation), model)
        gain_db = 20.0 * np.log10(np.abs(frequency_response(taps, np.array([600 * RATE_HZ / PERIOD]))[0]))
        level_dbfs = peak(bench.receive(), RATE_HZ)[1]
        assert level_dbfs == pytest.approx(7.0 - 6.02 - 60.0 + 30.0 + gain_db, abs=0.1)
        bench.plutos.control(SetLink(between=["r0", "r1"], redraw=True))


def test_a_delayed_path_comes_later_by_just_that(bench_of):
    delay_s = 10.5 / RATE_HZ
    link = {"between": ["r0", "r1"], "delay_s": delay_s}
    received = {}
    for name, links in (("now", []), ("later", [link])):
        bench = bench_of({"radio": radios(0.0, 0.0), "link": links}, tx_gain_db=0.0, gain_db=50)
        bench.send_tone(400)
        received[name] = bench.receive(8192)
    turned = np.vdot(received["now"], received["later"])
    expected = -2.0 * np.pi * 400 / PERIOD * 10.5
    assert np.angle(turned * np.exp(-1j * expected)) == pytest.approx(0.0, abs=0.01)
