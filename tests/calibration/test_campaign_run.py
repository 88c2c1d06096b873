"""Campaigns measure what is there, on schedule, whatever moves or fails meanwhile."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from campaign_lab import campaign_plan, measured

from calibration.campaign import radios, run
from calibration.campaign.estimates import estimate_sounding, sounding_grid
from calibration.campaign.journal import Journal, read_soundings
from calibration.campaign.plan import Link
from calibration.campaign.radios import receiving_experiment
from calibration.campaign.run import run_campaign
from protocol.errors import RadioError
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import path_gain_db
from radio.numerology import DEFAULT_2MSPS

GRID = sounding_grid(DEFAULT_2MSPS)


def true_gain_db(plan, sounding):
    """Per RB, as the channel was drawn."""
    experiment = receiving_experiment(plan, sounding.receiver, sounding.time_s)
    taps = draws.taps(experiment, sounding.sweep, sounding.transmitter)
    power = np.abs(frequency_response(taps, GRID.subcarriers * DEFAULT_2MSPS.subcarrier_spacing_hz)) ** 2
    rb = GRID.layout.rb_of_subcarrier
    path_db = path_gain_db(experiment, experiment.member(sounding.transmitter))
    return path_db + 10.0 * np.log10(np.bincount(rb, power) / np.bincount(rb))


def test_every_client_is_sounded_in_every_sweep_at_its_time(tmp_path):
    plan = campaign_plan(sweeps=3)
    soundings = measured(tmp_path / "c", plan)
    assert [(s.sweep, s.transmitter, s.time_s) for s in soundings] == [
        (sweep, name, sweep - 1.0) for sweep in (1, 2, 3) for name in ("near", "mid", "far")
    ]
    assert all(s.detected and s.receiver == "base-station" for s in soundings)
    assert [s.distance_m for s in soundings[:3]] == [8.0, 16.0, 28.0]
    assert read_soundings(tmp_path / "c") == soundings


def test_errors_of_gains_are_as_large_as_they_are_said_to_be(tmp_path):
    plan = campaign_plan(sweeps=30, channel={"model": "tdl-a"})
    deviations, means = [], []
    for sounding in measured(tmp_path / "c", plan):
        seen, truth_db = estimate_sounding(sounding, GRID), true_gain_db(plan, sounding)
        deviations += list((np.array(sounding.gain_db) - truth_db) / seen.rb_gain_uncertainty_db)
        mean_db = 10.0 * np.log10(np.mean(10.0 ** (truth_db / 10.0)))
        means.append((seen.gain_db.value - mean_db) / seen.gain_db.uncertainty)
    assert 0.9 < np.sqrt(np.mean(np.square(deviations))) < 1.1
    assert 0.8 < np.sqrt(np.mean(np.square(means))) < 1.25


def test_the_path_between_two_clients_fades_alike_in_both_directions(tmp_path):
    stops = [{"radio": "mid", "position_m": [0.0, 12.0]}]
    plan = campaign_plan(sweeps=3, campaign={"links": "every-pair", "stops": stops})
    soundings = measured(tmp_path / "c", plan)
    assert Counter(s.link for s in soundings) == dict.fromkeys(plan.links, 3)
    assert len(plan.links) == 12
    by_link = {(s.sweep, s.link): s for s in soundings}
    for (sweep, link), sounding in by_link.items():
        back = by_link[sweep, Link(link.receiver, link.transmitter)]
        assert sounding.mean_gain_db == pytest.approx(back.mean_gain_db, abs=0.3)
        assert sounding.cfo_hz == pytest.approx(-back.cfo_hz, abs=5.0)
    gains = {round(by_link[1, link].mean_gain_db, 1) for link in plan.links}
    assert len(gains) == 6
    assert by_link[1, Link("near", "mid")].distance_m == pytest.approx(np.hypot(8.0, 12.0), abs=1e-3)


def test_who_moves_is_measured_where_it_is(tmp_path):
    stops = [{"radio": "near", "position_m": [100.0, 0.0], "from_s": 2.0, "note": "by the window"}]
    plan = campaign_plan(sweeps=4, campaign={"stops": stops}, channel={"model": "awgn"})
    near = [s for s in measured(tmp_path / "c", plan) if s.transmitter == "near"]
    assert [s.distance_m for s in near] == [8.0, 8.0, 100.0, 100.0]
    assert [s.note for s in near] == ["", "", "by the window", "by the window"]
    assert [s.detected for s in near] == [True] * 4
    loss_db = near[1].mean_gain_db - near[2].mean_gain_db
    assert loss_db == pytest.approx(35.0 * np.log10(100.0 / 8.0), abs=0.5)


def test_who_cannot_be_heard_is_kept_as_such_and_looked_for_again(tmp_path):
    stops = [
        {"radio": "near", "position_m": [5000.0, 0.0], "from_s": 1.0},
        {"radio": "near", "position_m": [8.0, 0.0], "from_s": 3.0},
    ]
    plan = campaign_plan(sweeps=4, campaign={"stops": stops}, channel={"model": "awgn"})
    near = [s for s in measured(tmp_path / "c", plan) if s.transmitter == "near"]
    assert [s.detected for s in near] == [True, False, False, True]
    assert near[1].mean_gain == 0.0


def test_on_a_desk_every_pair_takes_the_radio_of_whoever_receives():
    members = [{"name": "a", "uri": "ip:10.0.0.2"}, {"name": "b", "uri": "ip:10.0.0.3"}]
    desk = {"driver": "pluto", "uri": "ip:10.0.0.1"}
    plan = campaign_plan(1, members, radio=desk, campaign={"links": "every-pair"})
    uris = {}
    for receiver in plan.radios:
        experiment = receiving_experiment(plan, receiver, 0.0)
        uris[receiver] = experiment.radio.uri, {m.name: m.uri for m in experiment.clients.members}
    one, two, three = "ip:10.0.0.1", "ip:10.0.0.2", "ip:10.0.0.3"
    assert uris == {
        "base-station": (one, {"a": two, "b": three}),
        "a": (two, {"base-station": one, "b": three}),
        "b": (three, {"base-station": one, "a": two}),
    }


class CountedTime:
    """A clock that stands still but for waiting."""

    def __init__(self) -> None:
        self.time_s, self.waits = 1000.0, []

    def now_s(self) -> float:
        return self.time_s

    def wait_until(self, time_s: float) -> None:
        self.waits.append(time_s)
        self.time_s = max(self.time_s, time_s)


def test_radios_on_a_desk_are_waited_for_from_sweep_to_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SIMULATED", ())
    clock = CountedTime()
    with Journal.create(
        tmp_path / "c", campaign_plan(sweeps=3, campaign={"interval_s": 20.0, "duration_s": 60.0})
    ) as j:
        run_campaign(j, warn=pytest.fail, clock=clock)
        assert clock.waits == [1000.0, 1020.0, 1040.0]
        assert [s.time_s for s in j.soundings] == [0.0] * 3 + [20.0] * 3 + [40.0] * 3


def test_sweeps_that_take_longer_than_planned_are_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SIMULATED", ())
    clock, told = CountedTime(), []

    def take_time(_):
        clock.time_s += 10.0

    plan = campaign_plan(sweeps=3, campaign={"interval_s": 12.0, "duration_s": 36.0})
    with Journal.create(tmp_path / "c", plan) as journal:
        run_campaign(journal, take_time, told.append, clock)
        assert [s.time_s for s in journal.soundings[::3]] == [0.0, 30.0, 60.0]
    assert told == [
        "sweep 2 begins 18.0 s late: a sweep takes longer than campaign.interval_s, 12 s; "
        "the next one begins as soon as it ends"
    ]


def test_a_radio_that_fails_is_opened_anew_once(tmp_path, monkeypatch):
    opened, failing = [], [3]

    def open_radio(experiment, iq_directory=None):
        radio = original(experiment, iq_directory)
        opened.append(radio)
        collect = radio.collect

        def faulty(timeout_s):
            failing[0] -= 1
            if failing[0] == 0:
                raise RadioError("unplugged")
            return collect(timeout_s)

        radio.collect = faulty
        return radio

    original = radios.open_base_station_radio
    monkeypatch.setattr(radios, "open_base_station_radio", open_radio)
    assert len(measured(tmp_path / "c", campaign_plan(sweeps=2))) == 6
    assert len(opened) == 2
