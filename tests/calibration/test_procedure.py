"""Calibrating virtual Plutos, whose truth is known; time moves as samples are read, so every run is the same."""

from contextlib import ExitStack

import numpy as np
import pytest
from needs import needs_pyadi

from calibration import bench
from calibration.carrier import CarrierOffset, step_hz
from calibration.crystal import ALLOWED_HZ, correct_crystal, measure_offset, offset_by_sounding
from calibration.procedure import NOMINAL_FULL_SCALE_DBM, Plan, calibrate
from protocol.errors import RadioError
from radio.calibration_file import channel_gain_db
from radio.pluto.pluto import Pluto, SamplesLostError
from radio.pluto.settings import Limits, Settings
from radio.quantity import Quantity
from radio.virtual.control_messages import DeadLo, SetCrystal, SetLink
from radio.virtual.front_end import gain_error_db
from radio.virtual.testbed import virtual_plutos

pytestmark = needs_pyadi
RATE_HZ = 2_500_000
CABLE_DB = 50.0
TRANSMIT_ERRORS_DB = [[-60.0, 1.2], [-40.0, -0.6], [-20.0, 0.3], [0.0, 0.0]]
RECEIVE_ERRORS_DB = [[0.0, 0.7], [20.0, -0.8], [40.0, 0.4], [60.0, -0.9], [73.0, 1.0]]
RADIOS = [
    {"name": "bs", "crystal_ppm": 4.3, "noise_figure_db": 6.0, "receive_gain_errors_db": RECEIVE_ERRORS_DB,
     "receive_image_db": -38.0, "receive_dc_dbfs": -47.0},
    {"name": "near", "crystal_ppm": -11.7, "transmit_gain_errors_db": TRANSMIT_ERRORS_DB,
     "transmit_image_db": -41.0, "lo_leakage_dbm": -35.0},
    {"name": "far", "crystal_ppm": 19.6, "transmit_full_scale_dbm": 8.0},
]  # fmt: skip


def plan(carrier_hz=915e6, **parts):
    basics = {"sample_rate_hz": RATE_HZ, "transmit_gain_db": -20.0, "receive_gain_db": 40.0}
    basics |= {"cable_db": Quantity(CABLE_DB, 0.2), "full_scale_dbm": Quantity(7.0, 0.2)}
    return Plan(carrier_hz=carrier_hz, **(basics | parts))


@pytest.fixture
def lab():
    """Virtual Plutos, cabled, and each opened."""
    with ExitStack() as stack:
        tables = {"medium": {"loss_db": CABLE_DB}, "radio": RADIOS}
        plutos = stack.enter_context(virtual_plutos(["bs", "near", "far"], tables, on_demand=True))
        limits = Limits(max_transmit_gain_db=-20.0)
        yield plutos, *(stack.enter_context(Pluto(plutos.uri(name), limits)) for name in plutos.servers)


def true_ppm(plutos, name):
    """Of everything that a radio makes from its crystal, over the base station's."""
    factors = [plutos.server(n).radio.front_end.clock_factor(plutos.engine.time_s()) for n in (name, "bs")]
    return 1e6 * (factors[0] / factors[1] - 1.0)


@pytest.mark.parametrize(
    ("carrier_hz", "rate_hz", "names"), [(915e6, RATE_HZ, ("near", "far")), (2.4e9, 2e6, ("near",))]
)
def test_one_calibration_finds_what_was_set(lab, carrier_hz, rate_hz, names):
    plutos, station, near, far = lab
    clients = {name: {"near": near, "far": far}[name] for name in names}
    found_ppm = {name: true_ppm(plutos, name) for name in names}
    told = []
    asked = plan(carrier_hz, sample_rate_hz=rate_hz, full_scale_dbm=NOMINAL_FULL_SCALE_DBM)
    outcome = calibrate(station, clients, asked, told.append)

    for (name, client), calibration in zip(clients.items(), outcome.clients, strict=True):
        assert outcome.before[client.serial].ppm.value == pytest.approx(found_ppm[name], abs=0.002)
        left_hz = true_ppm(plutos, name) * 1e-6 * carrier_hz
        assert abs(left_hz) <= 0.5 * step_hz(carrier_hz, 40_000_000) + 5.0
        assert calibration.crystal.left_ppm.value * 1e-6 * carrier_hz == pytest.approx(left_hz, abs=5.0)
        heard = calibration.crystal.sounding_ppm
        assert (heard is None) == (rate_hz == RATE_HZ)  # which the modem does not use
        assert heard is None or heard.value * 1e-6 * carrier_hz == pytest.approx(left_hz, abs=3.0)
        assert calibration.crystal.xo_correction_hz == bench.xo_correction_hz(client)

    for gains, errors_db, reference_db in (
        (outcome.clients[0].transmitter.gains, TRANSMIT_ERRORS_DB, -20.0),
        (outcome.station.receiver.gains, RECEIVE_ERRORS_DB, 40.0),
    ):
        assert len(gains) >= 5
        for gain in gains:
            setting_db = gain.setting_db
            truth = setting_db + gain_error_db(errors_db, setting_db) - gain_error_db(errors_db, reference_db)
            assert gain.gain_db.value == pytest.approx(truth, abs=0.3)
            assert abs(gain.gain_db.value - truth) < 3.5 * max(gain.gain_db.uncertainty, 0.02)
            assert gain.gain_db.uncertainty < 0.12

    receiver, sender = outcome.station.receiver, outcome.clients[0].transmitter
    assert receiver.noise_figure_db.value == pytest.approx(6.0 - np.mean([0.3, 1.0][: len(names)]), abs=0.5)
    assert receiver.noise_figure_db.uncertainty == pytest.approx(3.0, abs=0.1)
    assert (receiver.image_db.value, receiver.dc_dbfs.value) == pytest.approx((-38.0, -47.0), abs=0.5)
    assert (sender.image_db.value, sender.carrier_db.value) == pytest.approx((-41.0, -35.0 - 7.0 + 6.02), abs=0.7)
    assert all(is_silent(plutos, name) for name in plutos.servers)
    assert [line.split(": ")[-1] for line in told][:2] == ["carrier offset", "gain steps"]


def is_silent(plutos, name):
    settings = plutos.server(name).radio.front_end.settings
    return not settings.transmit_lo_on


def test_the_noise_figure_is_as_good_as_the_power_that_is_known(lab):
    _, station, near, _ = lab
    # At -20 dB the true transmit gain is 0.3 dB above its setting: full scale, by definition there, is 7.3 dBm.
    known = calibrate(station, {"near": near}, plan(full_scale_dbm=Quantity(7.3, 0.2)), lambda _: None).station.receiver
    assert known.noise_figure_db.value == pytest.approx(6.0, abs=0.5)
    assert known.noise_figure_db.uncertainty < 0.5
    assert known.full_scale_dbm.value == pytest.approx(-gain_error_db(RECEIVE_ERRORS_DB, 40.0), abs=0.2)


def test_the_cable_turns_readings_into_channel_gain_as_sure_as_it_says(lab):
    """Calibrated on the cable, used on paths of other losses, at settings that were not measured."""
    plutos, station, near, _ = lab
    outcome = calibrate(station, {"near": near}, plan(), lambda _: None)
    errors = []
    for loss_db, transmit_db, receive_db in ((62.0, -25.0, 55.0), (71.5, -20.0, 68.0), (45.0, -52.5, 63.0)):
        plutos.control(SetLink(between=["near", "bs"], loss_db=loss_db))
        bench.start_tone(near, transmit_db)
        reading = bench.level_over_sent(bench.hear_tone(station, receive_db))
        gain = channel_gain_db(reading, outcome.clients[0], transmit_db, outcome.station, receive_db)
        assert gain.value == pytest.approx(-loss_db, abs=0.5)
        assert 0.2 <= gain.uncertainty < 0.5
        errors.append((gain.value + loss_db) / gain.uncertainty)
    assert np.max(np.abs(errors)) < 2.0
    near.stop_transmitting()


def test_a_level_that_moves_within_a_capture_is_not_taken(lab, monkeypatch):
    _, station, near, _ = lab
    settings = Settings(carrier_hz=915e6, sample_rate_hz=RATE_HZ, kernel_buffers=bench.KERNEL_BUFFERS)
    for pluto in (station, near):
        pluto.configure(settings)
    bench.start_tone(near, -20.0)
    honest, moving = bench.receive, [2]

    def receive(pluto, n_samples):
        samples = honest(pluto, n_samples)
        moving[0] -= 1
        samples[: n_samples // 3] *= 0.7 if moving[0] >= 0 else 1.0
        return samples

    monkeypatch.setattr(bench, "receive", receive)
    assert bench.hear_steady_tone(station, 50.0, 1 << 14).level_dbfs.value == pytest.approx(-18.97, abs=0.05)
    moving[0] = 100
    assert bench.hear_steady_tone(station, 50.0, 1 << 14) is None
    near.stop_transmitting()


def test_a_capture_that_lost_samples_is_taken_again_with_longer_buffers():
    class Busy:
        def __init__(self):
            self.tried = []

        def receive(self, n_samples, buffer_samples):
            self.tried.append((n_samples, buffer_samples))
            raise SamplesLostError("too slow")

    busy = Busy()
    with pytest.raises(SamplesLostError):
        bench.receive(busy, 1 << 16)
    assert busy.tried == [(1 << 16, 1 << k) for k in range(12, 17)]


def test_a_client_that_is_not_heard_is_named_and_left_silent(lab):
    plutos, station, near, far = lab
    plutos.control(DeadLo(radio="far", side="transmit"))
    with pytest.raises(RadioError, match=rf"{far.uri}: its tone is not heard at {station.uri}; is its transmitter"):
        calibrate(station, {"near": near, "far": far}, plan(), lambda _: None)
    assert is_silent(plutos, "far")


def test_a_crystal_that_moves_meanwhile_is_not_passed_as_corrected(lab):
    plutos, station, near, _ = lab
    settings = Settings(carrier_hz=915e6, sample_rate_hz=RATE_HZ, kernel_buffers=bench.KERNEL_BUFFERS)
    station.configure(settings)
    near.configure(settings)
    bench.start_tone(near, -20.0)
    before = measure_offset(station, near, 50.0)
    assert correct_crystal(station, near, 50.0, before, -20.0).left_ppm.value == pytest.approx(0.0, abs=0.013)
    plutos.control(SetCrystal(radio="near", ppm=-10.9))
    with pytest.raises(RadioError, match=rf"leaves \d+ Hz of offset, more than the {11.4 + ALLOWED_HZ:.0f} Hz"):
        correct_crystal(station, near, 50.0, CarrierOffset(Quantity(0.0, 0.0), 915e6), -20.0)
    near.stop_transmitting()


def test_a_modem_that_hears_another_offset_than_a_tone_does_is_told(lab, monkeypatch):
    plutos, station, near, _ = lab
    settings = Settings(carrier_hz=915e6, sample_rate_hz=2e6, kernel_buffers=bench.KERNEL_BUFFERS)
    station.configure(settings)
    near.configure(settings)
    bench.start_tone(near, -20.0)
    before = measure_offset(station, near, 50.0)
    honest = bench.start_sending

    def start_and_drift(sender, samples, *arguments):
        honest(sender, samples, *arguments)
        if len(samples) != bench.TONE_PERIOD:
            plutos.control(SetCrystal(radio="near", ppm=-11.7 + 0.05))

    monkeypatch.setattr(bench, "start_sending", start_and_drift)
    with pytest.raises(RadioError, match=r"the modem finds -?\d+ Hz of offset where a tone says -?\d+ Hz"):
        correct_crystal(station, near, 50.0, before, -20.0)
    plutos.control(DeadLo(radio="near", side="transmit"))
    with pytest.raises(RadioError, match="does not find its sounding burst"):
        offset_by_sounding(station, near, 50.0, -20.0)
    near.stop_transmitting()
