"""A campaign played again is the channel it measured: to the radio, to the planner, and to TSFA's decisions."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from campaign_lab import campaign_plan, measured
from msgspec.structs import replace

from base_station.planning.channels import draw_rounds
from benchmarks.campaign import BIT_STEP, cost, decisions
from calibration.campaign.estimates import sounding_grid
from calibration.campaign.radios import receiving_experiment
from calibration.campaign.replay import make_replay, sounding_taps
from deploy.cli import main
from deploy.planning.planner import plan_key
from protocol.bursts import SoundingBurst, Window
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError, DataError
from protocol.experiment_file import experiment_from_dict, experiment_to_dict
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import path_gain_db, reference_snr_db
from radio.channel.replay import ReplayFile, experiment_replay, replay_sha256
from radio.drivers import open_base_station_radio, open_client_radio
from radio.limits import window_samples
from radio.modem import burst_air_samples
from radio.numerology import DEFAULT_2MSPS

GRID = sounding_grid(DEFAULT_2MSPS)
OFFSETS_HZ = GRID.subcarriers * DEFAULT_2MSPS.subcarrier_spacing_hz


def replaying(experiment: Experiment, file: Path, **radio) -> Experiment:
    """``experiment`` on the channel in ``file``."""
    tables = experiment_to_dict(experiment)
    tables["channel"].update(model="replay", replay_file=str(file))
    tables["radio"].update(radio)
    return experiment_from_dict(tables, "replay")


def kept(directory: Path, plan, soundings) -> Path:
    """The channel file of a campaign."""
    file = directory / "replay.json"
    file.write_bytes(msgspec.json.encode(make_replay(plan, soundings, "base-station").content))
    return file


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Twenty sweeps over TDL-A: plan, soundings, channel file."""
    directory = tmp_path_factory.mktemp("campaign")
    plan = campaign_plan(sweeps=20, channel={"model": "tdl-a"})
    soundings = measured(directory / "c", plan)
    return plan, soundings, kept(directory, plan, soundings)


def gain_db_per_rb(experiment, sweep, name):
    """Of the channel as the simulator draws it."""
    taps = draws.taps(experiment, sweep, name)
    power = np.abs(frequency_response(taps, OFFSETS_HZ)) ** 2
    rb = GRID.layout.rb_of_subcarrier
    return path_gain_db(experiment, experiment.member(name)) + 10 * np.log10(np.bincount(rb, power) / np.bincount(rb))


def test_every_round_meets_the_channel_of_its_sweep(campaign):
    plan, soundings, file = campaign
    experiment = replaying(plan.experiment, file)
    for sounding in soundings:
        original = receiving_experiment(plan, "base-station", sounding.time_s)
        truth_db = gain_db_per_rb(original, sounding.sweep, sounding.transmitter)
        found_db = gain_db_per_rb(experiment, sounding.sweep, sounding.transmitter)
        strong = truth_db > truth_db.max() - 10.0
        np.testing.assert_allclose(found_db[strong], truth_db[strong], atol=1.2)
        assert np.mean(10 ** (found_db / 10)) == pytest.approx(np.mean(10 ** (truth_db / 10)), rel=0.05)


def test_a_run_longer_than_the_campaign_starts_over(campaign):
    plan, _, file = campaign
    replay = experiment_replay(replaying(plan.experiment, file))
    assert np.array_equal(replay.taps("near", 21).gains, replay.taps("near", 1).gains)
    assert not np.array_equal(replay.taps("near", 20).gains, replay.taps("near", 1).gains)


def assert_same_decisions(original: Experiment, replayed: Experiment, rounds: int):
    """As good as the best on the original channel in every round, and the same grants but where several are as good."""
    pairs = []
    for (problem, ours), (_, theirs) in zip(decisions(original, rounds), decisions(replayed, rounds), strict=True):
        assert cost(problem, theirs) <= 1.002 * cost(problem, ours)
        pairs += zip(ours.clients, theirs.clients, strict=True)
    assert np.mean([a.bits == b.bits for a, b in pairs]) >= 0.8
    near = [abs(a.rb_count - b.rb_count) <= 1 and abs(a.bits - b.bits) <= BIT_STEP for a, b in pairs]
    assert np.mean(near) >= 0.9


def test_tsfa_decides_on_the_replay_as_on_the_original(campaign):
    plan, _, file = campaign
    assert_same_decisions(plan.experiment, replaying(plan.experiment, file), rounds=20)


def test_tsfa_decides_as_on_the_original_after_a_campaign_with_samples(tmp_path):
    plan = campaign_plan(sweeps=6, channel={"model": "tdl-a"}, radio={"driver": "simulated"})
    file = kept(tmp_path, plan, measured(tmp_path / "c", plan))
    abstract = replace(plan.experiment, radio=replace(plan.experiment.radio, driver="abstract"))
    assert_same_decisions(abstract, replaying(abstract, file), rounds=6)


@pytest.mark.parametrize("driver", ["abstract", "simulated"])
def test_a_radio_hears_the_gains_that_were_measured(campaign, driver):
    plan, soundings, file = campaign
    experiment = replaying(plan.experiment, file, driver=driver)
    correction_hz = -1e-6 * draws.offset_ppm(experiment, "near") * experiment.radio.carrier_hz
    burst = SoundingBurst("near", 5, 0, 28, cfo_correction_hz=correction_hz)
    samples = window_samples(burst_air_samples(burst, DEFAULT_2MSPS), experiment.radio.jitter_samples)
    window = Window("replay", 4, 0, "sounding", -(-samples // 8) * 8)
    station = open_base_station_radio(experiment)
    try:
        client = open_client_radio("near", experiment, station.radio_address)
        try:
            station.arm(window, [burst])
            client.transmit(window, burst, [])
            (heard,) = station.collect(60.0).bursts
        finally:
            client.close()
    finally:
        station.close()
    (then,) = (s for s in soundings if (s.sweep, s.transmitter) == (4, "near"))
    strong = np.array(then.gain_db) > max(then.gain_db) - 15.0
    np.testing.assert_allclose(np.array(heard.gain_db)[strong], np.array(then.gain_db)[strong], atol=0.7)


def test_who_was_not_heard_is_silent_in_its_round_and_does_not_count_in_the_mean(tmp_path):
    stops = [{"radio": "near", "position_m": [9000.0, 0.0], "from_s": 1.0}]
    plan = campaign_plan(2, campaign={"stops": stops}, channel={"model": "awgn"})
    soundings = measured(tmp_path / "c", plan)
    experiment = replaying(plan.experiment, kept(tmp_path, plan, soundings))
    assert path_gain_db(experiment, experiment.member("near")) == pytest.approx(soundings[0].mean_gain_db)
    assert 20 * np.log10(np.abs(draws.taps(experiment, 2, "near").gains).sum()) < -100.0
    first, second = draw_rounds(experiment, 2, first=1)
    assert "near" in first.rates
    assert "near" not in second.rates


def test_a_given_snr_scales_the_measured_channel(campaign):
    plan, _, file = campaign
    tables = experiment_to_dict(plan.experiment)
    tables["channel"].update(model="replay", replay_file=str(file))
    tables["clients"]["members"] = [{"name": "near", "mean_snr_db": 12.0}, {"name": "far"}]
    experiment = experiment_from_dict(tables, "x")
    assert reference_snr_db(experiment, experiment.member("near")) == pytest.approx(12.0)
    measured_db = experiment_replay(experiment).gain_db("far")
    assert path_gain_db(experiment, experiment.member("far")) == measured_db


def test_taps_stand_for_what_was_measured(campaign):
    _, soundings, _ = campaign
    assert max(sounding_taps(sounding, GRID)[1] for sounding in soundings) < 0.02


def test_the_command_writes_a_file_and_says_how_to_use_it(campaign, tmp_path, capsys):
    _, _, file = campaign
    directory = str(file.parent / "c")
    assert main(["campaign", "replay", directory, "--out", str(tmp_path / "r.json"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["rounds"], document["receiver"]) == (20, "base-station")
    assert [client["name"] for client in document["clients"]] == ["near", "mid", "far"]
    assert (tmp_path / "r.json").read_bytes().strip() == file.read_bytes()
    assert main(["campaign", "replay", directory]) == 0
    assert f"--set channel.replay_file={directory}/replay.json" in capsys.readouterr().out
    assert main(["campaign", "replay", directory, "--receiver", "mid"]) == 2
    assert "did not receive in this campaign; there are: base-station" in capsys.readouterr().err


def test_what_cannot_be_replayed_is_told(campaign, tmp_path):
    plan, _, file = campaign
    stranger = replaying(replace(plan.experiment, clients=replace(plan.experiment.clients, members=[
        replace(plan.experiment.member("near"), name="x")])), file)  # fmt: skip
    with pytest.raises(ConfigurationError, match="client 'x' was not measured; there are: near, mid, far"):
        draws.check_channel(stranger)
    with pytest.raises(ConfigurationError, match=r"sample_rate_hz = 4e\+06 is wider"):
        draws.check_channel(replaying(plan.experiment, file, sample_rate_hz=4e6))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        draws.check_channel(replaying(plan.experiment, tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: replace(f, rounds=19), "not those of 19 rounds"),
        (lambda f: replace(f, delays_s=[0.0, 9e-5]), "later than the prefix carries"),
        (lambda f: replace(f, delays_s=[*f.delays_s[:-1], -1.0]), "not a channel file"),
        (lambda f: replace(f, links={}), "not a channel file"),
        (lambda f: replace(f, links={"near": replace(f.links["near"], taps=b"\xff" * len(f.links["near"].taps))}),
         "not finite"),
        (lambda f: replace(f, version=2), "not a channel file"),
    ],
)  # fmt: skip
def test_a_channel_file_that_is_none_is_refused(campaign, tmp_path, change, told):
    plan, _, file = campaign
    content = msgspec.json.decode(file.read_bytes(), type=ReplayFile)
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(msgspec.json.encode(change(content)))
    with pytest.raises(DataError, match=told):
        draws.check_channel(replaying(plan.experiment, damaged))


def test_a_run_knows_which_file_it_replays(campaign, tmp_path):
    plan, _, file = campaign
    copy = tmp_path / "copy.json"
    copy.write_bytes(file.read_bytes())
    first = replay_sha256(replaying(plan.experiment, copy))
    assert first == replay_sha256(replaying(plan.experiment, file))
    copy.write_bytes(file.read_bytes() + b"\n")
    assert replay_sha256(replaying(plan.experiment, copy)) != first
    assert replay_sha256(plan.experiment) is None


def test_another_channel_file_makes_another_plan(campaign, tmp_path):
    plan, _, file = campaign
    copy = tmp_path / "copy.json"
    copy.write_bytes(file.read_bytes())
    experiment = replaying(plan.experiment, copy)
    first = plan_key(experiment, [1, 2])
    assert plan_key(experiment, [1, 2]) == first
    copy.write_bytes(file.read_bytes() + b"\n")
    assert plan_key(experiment, [1, 2]) != first


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ({"model": "replay"}, "channel.replay_file belong together"),
        ({"model": "awgn", "replay_file": "x"}, "channel.replay_file belong together"),
        ({"model": "replay", "replay_file": "x", "doppler_hz": 1.0}, "moves as it was measured"),
    ],
)
def test_keys_of_a_replay_go_together(channel, told):
    raw = {"experiment": {"name": "x"}, "clients": {"members": [{"name": "a", "distance_m": 10.0}]}}
    with pytest.raises(ConfigurationError, match=told):
        experiment_from_dict({**raw, "channel": channel}, "x.toml")
