"""Levels and keyed draws of the simulated channel."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from radio_lab import lab_experiment

from protocol.bursts import Window
from protocol.errors import ConfigurationError
from radio.channel import draws
from radio.channel.levels import noise_dbm, path_gain_db, reference_snr_db

WINDOW = Window("s", 1, 1, "data", 200_000)


def at_distances(*distances_m, **channel):
    members = [{"name": f"d{d:g}", "distance_m": d} for d in distances_m]
    return lab_experiment(clients={"members": members}, channel=channel)


def test_noise_is_thermal_noise_plus_noise_figure():
    # -174 dBm/Hz + 10 log10(1 MHz) + 6 dB
    assert noise_dbm(lab_experiment(), 1e6) == pytest.approx(-108.0, abs=0.05)


def test_path_loss_grows_by_its_exponent_per_decade():
    experiment = at_distances(1.0, 10.0, 100.0, path_loss_1m_db=40.0, path_loss_exponent=3.5)
    gains_db = [path_gain_db(experiment, member) for member in experiment.clients.members]
    assert gains_db == pytest.approx([-40.0, -75.0, -110.0])


@pytest.mark.parametrize("attenuation_db", [0.0, 60.0])
def test_mean_snr_is_the_reference_snr_before_attenuation(attenuation_db):
    experiment = lab_experiment((17.0,), channel={"attenuation_db": attenuation_db})
    member = experiment.clients.members[0]
    assert reference_snr_db(experiment, member) == pytest.approx(17.0 - attenuation_db)


def test_of_a_radio_on_a_desk_nothing_is_simulated_without_its_distance_or_snr():
    desk = {"driver": "pluto", "uri": "ip:192.168.2.1"}
    experiment = lab_experiment((), radio=desk, clients={"members": [{"name": "a", "uri": "usb:"}]})
    with pytest.raises(ConfigurationError, match="client 'a' has a radio on a desk and neither distance_m nor"):
        reference_snr_db(experiment, experiment.member("a"))


@pytest.mark.parametrize(("sample_rate_hz", "bandwidth_hz"), [(2e6, 1.75e6), (4e6, 3.5e6)])
def test_a_distance_gives_the_reference_snr_of_its_path_loss(sample_rate_hz, bandwidth_hz):
    members = [{"name": "d50", "distance_m": 50.0}]
    radio = {"sample_rate_hz": sample_rate_hz}
    experiment = lab_experiment(clients={"members": members}, radio=radio, channel={"attenuation_db": 3.0})
    member = experiment.clients.members[0]
    expected_db = 10.0 - (40.0 + 35.0 * np.log10(50.0)) - 3.0 - noise_dbm(experiment, bandwidth_hz)
    assert reference_snr_db(experiment, member) == pytest.approx(expected_db)


def test_fades_are_rayleigh_above_the_floor():
    experiment = lab_experiment(channel={"model": "rayleigh", "minimum_fade_db": -10.0})
    power = np.array([abs(draws.taps(experiment, r, "c0").gains[0]) ** 2 for r in range(2000)])
    assert power.min() >= 0.1
    # An exponential variable above its floor of 0.1 has mean 1.1.
    assert power.mean() == pytest.approx(1.1, abs=0.1)
    assert np.mean(power > 1.1) == pytest.approx(np.exp(-1.0), abs=0.05)


def test_an_awgn_channel_does_not_fade():
    taps = draws.taps(lab_experiment(), 4, "c0")
    assert taps.flat
    assert taps.gains == [1.0]


@pytest.mark.parametrize("doppler_hz", [0.0, 0.01])
@pytest.mark.parametrize("model", ["rayleigh", "rician", "tdl-b"])
def test_a_fade_belongs_to_its_round_and_client(model, doppler_hz):
    experiment = lab_experiment(channel={"model": model, "doppler_hz": doppler_hz})
    keys = [(1, "c0"), (2, "c0"), (1, "c1")]
    forward = [draws.taps(experiment, *key).gains for key in keys]
    backward = [draws.taps(experiment, *key).gains for key in reversed(keys)][::-1]
    assert np.array_equal(forward, backward)
    assert len({gains.tobytes() for gains in forward}) == 3


def test_rounds_are_one_latency_budget_apart():
    channel = {"model": "tdl-a", "doppler_hz": 0.05}
    slow = lab_experiment(channel=channel, tsfa={"latency_budget_s": 6.0})
    fast = lab_experiment(channel=channel, tsfa={"latency_budget_s": 2.0})
    assert np.array_equal(draws.taps(slow, 2, "c0").gains, draws.taps(fast, 6, "c0").gains)
    assert not np.allclose(draws.taps(slow, 2, "c0").gains, draws.taps(fast, 2, "c0").gains, atol=0.05)


def test_crystals_stay_within_their_tolerance():
    experiment = lab_experiment(channel={"carrier_offset_ppm": 10.0})
    ppm = np.array([draws.crystal_ppm(experiment, f"radio-{i}") for i in range(300)])
    assert np.all(np.abs(ppm) <= 10.0)
    assert ppm.std() == pytest.approx(10.0 / np.sqrt(3.0), rel=0.1)


def test_jitter_covers_the_samples_it_may():
    experiment = lab_experiment(radio={"jitter_samples": 4})
    windows = [msgspec.structs.replace(WINDOW, index=i) for i in range(60)]
    assert {draws.jitter(experiment, window, "c0") for window in windows} == {0, 1, 2, 3}
    assert draws.jitter(lab_experiment(radio={"jitter_samples": 0}), WINDOW, "c0") == 0


def test_noise_has_unit_power_and_is_new_in_every_window():
    noise = draws.noise(lab_experiment(), WINDOW)
    other = draws.noise(lab_experiment(), msgspec.structs.replace(WINDOW, index=2))
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1.0, abs=0.02)
    assert abs(np.mean(noise**2)) < 0.02
    assert abs(np.vdot(noise, other)) / len(noise) < 0.02


def test_lost_blocks_come_at_their_rate():
    experiment = lab_experiment(channel={"lost_block_rate": 0.5})
    assert draws.lost_blocks(experiment, WINDOW, "c0", 2000).mean() == pytest.approx(0.5, abs=0.05)
