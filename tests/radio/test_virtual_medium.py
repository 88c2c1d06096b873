"""What a receiver gets, against computed truth: levels, carriers, noise, fades, in stepped time."""

import math

import numpy as np
import pytest
from iiod_client import ADC, DAC, PHY, XADC, IiodClient, peak, tone_codes

from protocol.errors import ConfigurationError
from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, Taps, apply_taps, draw_moving_taps, draw_taps, frequency_response
from radio.channel.resampling import resample
from radio.virtual.configuration import load_medium, medium_of
from radio.virtual.control_messages import SetCrystal, SetLink
from radio.virtual.interpolation import at_other_rate, drifting, reach_at_other_rate, span
from radio.virtual.paths import Path
from radio.virtual.testbed import virtual_plutos

RATE_HZ = 2_500_000
LO_HZ = 915_000_000
PERIOD = 4096
SAMPLES = 1 << 16
CLEAN = {"transmit_image_db": -150.0, "receive_image_db": -150.0, "lo_leakage_dbm": -150.0, "receive_dc_dbfs": -150.0}
"""A radio without impairments."""


def radios(*ppm, **more):
    """[[radio]] tables ``r0``, ``r1`` .. with these crystals and no impairments but those named."""
    return [{"name": f"r{i}", "crystal_ppm": p, **CLEAN, **more} for i, p in enumerate(ppm)]


class Bench:
    """Radio ``r0`` receives, all others send; in stepped time."""

    def __init__(self, plutos, clients):
        self.plutos, self.clients = plutos, clients

    def receive(self, samples=SAMPLES):
        receiver = self.clients[0]
        receiver.open(ADC, samples)
        self.plutos.advance(samples, "r0")
        received = receiver.receive(samples)
        assert receiver.ask(f"CLOSE {ADC}") == 0
        return received

    def send_tone(self, cycles, amplitude=0.5, sender=1):
        """A tone of ``cycles`` in PERIOD samples that is already on when the next samples are received."""
        self.clients[sender].open(DAC, PERIOD, cyclic=True)
        self.clients[sender].push(tone_codes(cycles, PERIOD, amplitude))
        self.plutos.advance(2 * PERIOD)


@pytest.fixture
def bench_of():
    """Opens a bench for a medium file's content."""
    opened = []

    def open_bench(tables, **configuration):
        names = [table["name"] for table in tables["radio"]]
        context = virtual_plutos(names, tables, stepped=True)
        plutos = context.__enter__()
        clients = [IiodClient(plutos.uri(name)) for name in names]
        opened.append((context, clients))
        for client in clients:
            client.configure(**({"rate_hz": RATE_HZ, "lo_hz": LO_HZ} | configuration))
        return Bench(plutos, clients)

    yield open_bench
    for context, clients in opened:
        for client in clients:
            client.close()
        context.__exit__(None, None, None)


@pytest.mark.parametrize(("tx_gain_db", "gain_db"), [(0.0, 50), (-10.0, 60), (-30.25, 70)])
def test_the_level_is_the_link_budget_s(bench_of, tx_gain_db, gain_db):
    tables = {"medium": {"loss_db": 70.0}, "radio": radios(0.0, 0.0)}
    bench = bench_of(tables, tx_gain_db=tx_gain_db, gain_db=gain_db)
    bench.send_tone(200, amplitude=0.25)
    frequency_hz, level_dbfs = peak(bench.receive(), RATE_HZ)
    assert frequency_hz == pytest.approx(200 * RATE_HZ / PERIOD, abs=1.0)
    assert level_dbfs == pytest.approx(7.0 + tx_gain_db - 12.04 - 70.0 + gain_db, abs=0.05)


def test_true_gains_are_off_their_settings_by_the_file_s_errors(bench_of):
    tables = radios(0.0, 0.0)
    tables[1]["transmit_gain_errors_db"] = [[-40.0, 2.0], [-20.0, 0.0]]
    tables[0]["receive_gain_errors_db"] = [[0.0, -1.0], [60.0, 0.5]]
    for tx_gain_db, gain_db, error_db in ((-30.0, 60, 1.0 + 0.5), (-50.0, 50, 2.0 + 0.25), (-10.0, 30, -0.25)):
        bench = bench_of({"medium": {"loss_db": 40.0}, "radio": tables}, tx_gain_db=tx_gain_db, gain_db=gain_db)
        bench.send_tone(200, amplitude=0.25)
        expected = 7.0 + tx_gain_db - 12.04 - 40.0 + gain_db + error_db
        assert peak(bench.receive(), RATE_HZ)[1] == pytest.approx(expected, abs=0.05)


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


@pytest.mark.parametrize("name", ["rayleigh", "rician", "tdl-b"])
def test_a_moving_path_is_the_channel_model_s_at_every_time_however_it_is_cut(name):
    model, rate_hz, doppler_hz, begin_s = FadingModel(name, 300e-9), 2e6, 80.0, 3.21
    path = Path(9, ("x", "y"), 60.0, 0.0, model)
    path.set_doppler(doppler_hz)
    rng = np.random.default_rng(3)
    samples = band_limited(rng, 9000)
    before, after = path.margins(rate_hz)
    whole = path.apply(samples, rate_hz, begin_s)
    n = len(whole)
    halves = [
        path.apply(samples[: 4000 + before + after], rate_hz, begin_s),
        path.apply(samples[4000:], rate_hz, begin_s + 4000 / rate_hz),
    ]
    np.testing.assert_allclose(np.concatenate(halves), whole, atol=1e-5)
    for place in (0, n // 3, n - 1):
        rng_taps = random_stream(9, "virtual fade", "x", "y", 0)
        taps = draw_moving_taps(rng_taps, model, doppler_hz, begin_s + place / rate_hz)
        exact = apply_taps(samples, taps, rate_hz)[before + place]
        assert abs(whole[place] - exact) < 0.02


def band_limited(rng, n):
    """Noise in 0.9 of the band, unit power."""
    spectrum = np.fft.fft(rng.standard_normal(n) + 1j * rng.standard_normal(n))
    spectrum[np.abs(np.fft.fftfreq(n)) > 0.44] = 0.0
    samples = np.fft.ifft(spectrum).astype(np.complex64)
    return samples / np.float32(np.std(samples))


@pytest.mark.parametrize("drift", [0.0, 5e-6, -40e-6, 200e-6])
@pytest.mark.parametrize("start", [0.0, 0.37, 3.9])
def test_streams_are_read_as_the_simulated_channel_resamples(drift, start):
    samples = band_limited(np.random.default_rng(1), 5000)
    expected = resample(samples, drift, start)
    first, count = span(start, drift, 5000)
    padded = np.concatenate([np.zeros(500, np.complex64), samples, np.zeros(500, np.complex64)])
    values = drifting(padded[500 + first : 500 + first + count], first, start, drift, 5000)
    assert np.mean(np.abs(values - expected) ** 2) < 1e-7


@pytest.mark.parametrize("ratio", [0.4, 1.7, 8.0])
def test_other_rates_keep_the_band_that_both_have(ratio):
    index = np.arange(-600, int(700 * ratio) + 600)
    for cycles, heard in ((0.3 / max(1.0, ratio), True), (0.62 / ratio, False)):
        if cycles > 0.5:
            continue
        tone = np.exp(2j * np.pi * cycles * index).astype(np.complex64)
        values = at_other_rate(tone, -600, 2.3, ratio, 700)
        expected = np.exp(2j * np.pi * cycles * (2.3 + ratio * np.arange(700))) if heard else 0.0
        assert np.mean(np.abs(values - expected) ** 2) < 1e-6
    assert reach_at_other_rate(ratio) < 600


BAD = [
    ({"medum": {}}, "unknown table 'medum'; the nearest valid one is 'medium'"),
    ({"medium": {"los_db": 3.0}}, "unknown key 'medium.los_db'; the nearest valid one is 'loss_db'"),
    ({"radio": [{"name": "a", "noise": 1}]}, "unknown key 'radio.noise'; the nearest valid one is 'noise_figure_db'"),
    ({"medium": {"loss_db": "high"}}, "medium.loss_db: Expected `float`, got `str`"),
    ({"medium": {"path_loss_exponent": math.inf}}, "path_loss_exponent: inf is not a number"),
    ({"radio": [{"name": "a", "position_m": [0.0, math.nan]}]}, "position_m: nan is not a number"),
    ({"radio": [{"name": "c"}]}, "there is no radio 'c'; the nearest is"),
    ({"radio": [{"name": "a"}, {"name": "a"}]}, "two [[radio]] tables are called 'a'"),
    ({"link": [{"between": ["a", "a"]}]}, "is medium.leakage_db"),
    ({"link": [{"between": ["a", "b"]}, {"between": ["b", "a"]}]}, "is there twice"),
    ({"link": [{"between": ["a", "b"], "loss_db": 1.0, "distance_m": 2.0}]}, "loss_db or distance_m, not both"),
    ({"medium": {"model": "tdl-z"}}, "no model 'tdl-z'"),
    ({"link": [{"between": ["a", "b"], "model": "tdl-a", "delay_spread_s": 1e-3}]}, "link between 'a' and 'b'"),
    ({"radio": [{"name": "a", "receive_gain_errors_db": [[0, 1.0], [0, 2.0]]}]}, "settings must rise"),
    ({"medium": 3}, "medium: Expected `object`, got `int`"),
]


@pytest.mark.parametrize(("tables", "line"), BAD)
def test_a_wrong_medium_file_is_told_by_file_and_key(tables, line):
    with pytest.raises(ConfigurationError) as refused:
        medium_of(tables, ["a", "b"], "lab.toml")
    assert str(refused.value).startswith("lab.toml: ")
    assert line in str(refused.value)


def test_a_medium_file_that_is_no_toml_is_told(tmp_path):
    (tmp_path / "lab.toml").write_text("[medium\n")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_medium(tmp_path / "lab.toml", ["a"])


def test_taps_of_a_still_path_do_not_depend_on_the_direction():
    model = FadingModel("tdl-a")
    taps = [Path(1, ends, 0.0, 0.0, model).response(0.0, 1e5) for ends in (("x", "y"), ("y", "x"))]
    assert taps[0] == taps[1]
    assert isinstance(draw_taps(np.random.default_rng(1), model), Taps)
