"""What a radio makes of a signal itself, against computed truth: gains, noise, impairments."""

import math

import numpy as np
import pytest
from iiod_client import DAC, PHY, peak
from virtual_bench import LO_HZ, PERIOD, RATE_HZ, radios


def test_true_gains_are_off_their_settings_by_the_file_s_errors(bench_of):
    tables = radios(0.0, 0.0)
    tables[1]["transmit_gain_errors_db"] = [[-40.0, 2.0], [-20.0, 0.0]]
    tables[0]["receive_gain_errors_db"] = [[0.0, -1.0], [60.0, 0.5]]
    for tx_gain_db, gain_db, error_db in ((-30.0, 60, 1.0 + 0.5), (-50.0, 50, 2.0 + 0.25), (-10.0, 30, -0.25)):
        bench = bench_of({"medium": {"loss_db": 40.0}, "radio": tables}, tx_gain_db=tx_gain_db, gain_db=gain_db)
        bench.send_tone(200, amplitude=0.25)
        expected = 7.0 + tx_gain_db - 12.04 - 40.0 + gain_db + error_db
        assert peak(bench.receive(), RATE_HZ)[1] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("gain_db", [73, 40])
def test_noise_is_thermal_plus_noise_figure_at_every_gain(bench_of, gain_db):
    bench = bench_of({"radio": radios(0.0, noise_figure_db=6.0)}, gain_db=gain_db)
    received = bench.receive()
    noise_mw = 10.0 ** ((-173.975 + 6.0 + 10.0 * math.log10(RATE_HZ)) / 10.0)
    quantisation = 2.0 * (1.0 / 2048.0) ** 2 / 12.0
    assert np.mean(np.abs(received) ** 2) == pytest.approx(noise_mw * 10.0 ** (gain_db / 10.0) + quantisation, rel=0.03)


def test_what_is_too_strong_is_clipped_at_twelve_bits_and_counted(bench_of):
    bench = bench_of({"medium": {"loss_db": 40.0}, "radio": radios(0.0, 0.0)}, tx_gain_db=0.0, gain_db=50)
    bench.send_tone(123)
    received = bench.receive(8192)
    assert (received.real.min(), received.real.max()) == (-1.0, 2047 / 2048)
    assert bench.plutos.engine.front_ends["r0"].clipped > 4000


def test_image_leakage_and_dc_have_the_levels_of_the_file(bench_of):
    levels = {
        "transmit_image_db": -40.0,
        "receive_image_db": -150.0,
        "lo_leakage_dbm": -25.0,
        "receive_dc_dbfs": -150.0,
    }
    tables = radios(0.0, 0.0)
    tables[1] |= levels
    tables[0]["receive_dc_dbfs"] = -55.0
    bench = bench_of({"radio": tables}, tx_gain_db=-10.0, gain_db=60)
    for side in ("RX", "TX"):
        bench.clients[0].set(f"{PHY} OUTPUT {side}_LO", "frequency", LO_HZ - 100_000)
    bench.send_tone(500)
    received = bench.receive()
    tone_hz = 500 * RATE_HZ / PERIOD
    index = np.arange(len(received)) / RATE_HZ

    def level_db(frequency_hz):
        window = np.hanning(len(received))
        return 20.0 * np.log10(
            np.abs(np.vdot(np.exp(2j * np.pi * frequency_hz * index), received * window)) / window.sum()
        )

    tone_dbfs = 7.0 - 10.0 - 6.02 - 60.0 + 60.0
    assert level_db(100e3 + tone_hz) == pytest.approx(tone_dbfs, abs=0.05)
    assert level_db(100e3 - tone_hz) == pytest.approx(tone_dbfs - 40.0, abs=0.3)
    assert level_db(100e3) == pytest.approx(-25.0 - 10.0 - 60.0 + 60.0, abs=0.3)
    assert level_db(0.0) == pytest.approx(-55.0, abs=1.0)
    bench.clients[0].set(f"{PHY} INPUT voltage0", "bb_dc_offset_tracking_en", 0)
    received = bench.receive()
    assert level_db(0.0) == pytest.approx(-35.0, abs=0.2)


def test_a_powered_down_oscillator_sends_and_hears_nothing(bench_of):
    tables = radios(0.0, 0.0)
    tables[1]["lo_leakage_dbm"] = -20.0
    bench = bench_of({"radio": tables})
    bench.send_tone(100)
    for side, client in (("TX_LO", 1), ("RX_LO", 0)):
        assert peak(bench.receive(4096), RATE_HZ)[1] > -45.0
        bench.clients[client].set(f"{PHY} OUTPUT {side}", "powerdown", 1)
        assert peak(bench.receive(4096), RATE_HZ)[1] < -80.0
        bench.clients[client].set(f"{PHY} OUTPUT {side}", "powerdown", 0)


def test_the_carrier_leaks_without_any_buffer(bench_of):
    bench = bench_of({"radio": radios(2.0, 0.0, lo_leakage_dbm=-20.0)}, gain_db=60, tx_gain_db=-5.0)
    bench.clients[0].set(f"{PHY} OUTPUT TX_LO", "powerdown", 1)
    frequency_hz, level_dbfs = peak(bench.receive(), RATE_HZ)
    assert frequency_hz == pytest.approx(-2.0 * 915, abs=1.0)
    assert level_dbfs == pytest.approx(-20.0 - 5.0 - 60.0 + 60.0, abs=0.1)


def test_the_dds_sends_its_tones_while_no_buffer_is_open(bench_of):
    bench = bench_of({"radio": radios(0.0, 0.0)}, tx_gain_db=0.0)
    for name, phase in (("TX1_I_F1", 90_000), ("TX1_Q_F1", 0)):
        for attribute, value in (("frequency", 200_000), ("phase", phase), ("scale", 0.5), ("raw", 1)):
            bench.clients[1].set(f"{DAC} OUTPUT {name}", attribute, value)
    assert peak(bench.receive(), RATE_HZ) == pytest.approx((200_000.0, 7.0 - 6.02 - 60.0 + 30.0), abs=0.1)
    bench.clients[1].open(DAC, 64)
    assert peak(bench.receive(4096), RATE_HZ)[1] < -70.0
    bench.clients[1].ask(f"CLOSE {DAC}")
    assert peak(bench.receive(4096), RATE_HZ)[1] > -30.0


def test_the_own_transmitter_leaks_into_the_own_receiver(bench_of):
    bench = bench_of({"medium": {"leakage_db": 33.0}, "radio": radios(15.0)}, tx_gain_db=0.0, gain_db=0)
    bench.send_tone(300, sender=0)
    assert peak(bench.receive(), RATE_HZ) == pytest.approx((300 * RATE_HZ / PERIOD, 7.0 - 6.02 - 33.0), abs=0.1)


def test_automatic_gain_brings_the_level_to_its_target_and_the_power_meter_ignores_it(bench_of):
    bench = bench_of({"radio": radios(0.0, 0.0)}, tx_gain_db=0.0)
    receiver = bench.clients[0]
    bench.send_tone(100)
    readings = [float(receiver.read(f"{PHY} INPUT voltage0", "rssi").split()[0])]
    assert readings[0] == pytest.approx(-(7.0 - 6.02 - 60.0) + 7.0, abs=0.26)
    receiver.set(f"{PHY} INPUT voltage0", "gain_control_mode", "slow_attack")
    level_dbfs = 20.0 * np.log10(np.abs(bench.receive()[-8192:]).std() + np.abs(bench.receive()[-8192:]).mean())
    assert level_dbfs == pytest.approx(-10.0, abs=0.6)
    gain_db = float(receiver.read(f"{PHY} INPUT voltage0", "hardwaregain").split()[0])
    assert gain_db == pytest.approx(-10.0 - (7.0 - 6.02 - 60.0), abs=0.6)
    readings.append(float(receiver.read(f"{PHY} INPUT voltage0", "rssi").split()[0]))
    assert readings[1] == readings[0]
