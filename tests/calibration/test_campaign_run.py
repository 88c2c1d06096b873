"""Campaigns measure what is there, on schedule, and lose at most the sounding they were killed at."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from campaign_lab import campaign_plan, measured, without_dates

from calibration.campaign import radios, run
from calibration.campaign.estimates import estimate_sounding, sounding_grid
from calibration.campaign.journal import JOURNAL_FILE, Journal, read_soundings
from calibration.campaign.plan import Link, load_plan
from calibration.campaign.radios import receiving_experiment
from calibration.campaign.recordings import geolocation
from calibration.campaign.run import run_campaign
from calibration.campaign.summary import summarise
from calibration.campaign.tables import write_tables
from deploy.campaign_progress import open_campaign_progress
from deploy.cli import main
from protocol.errors import ConfigurationError, RadioError, RunError
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import path_gain_db
from radio.numerology import DEFAULT_2MSPS

GRID = sounding_grid(DEFAULT_2MSPS)
CAMPAIGN = """
[experiment]
name = "killed"
seed = 4
[radio]
driver = "abstract"
[channel]
model = "tdl-a"
[campaign]
interval_s = 1.0
duration_s = 40.0
[[clients.members]]
name = "a"
distance_m = 10.0
[[clients.members]]
name = "b"
distance_m = 20.0
"""


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


def campaign_file(tmp_path: Path) -> str:
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN)
    return str(path)


def test_a_campaign_killed_at_any_moment_goes_on_and_ends_as_if_it_had_not_been(tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-m", "deploy", "campaign", "run", campaign_file(tmp_path), "--out", str(broken)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("sweep 7 "):
                process.kill()
                break
    kept = read_soundings(broken)
    assert 14 <= len(kept) < 80
    assert main(["campaign", "run", str(broken), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["campaign", "run", campaign_file(tmp_path), "--out", str(whole), "--json"]) == 0
    assert (told["soundings"], told["detected"], told["sweeps"]) == (80, 80, 40)
    assert read_soundings(broken)[: len(kept)] == kept
    assert without_dates(read_soundings(broken)) == without_dates(read_soundings(whole))


def test_a_campaign_that_is_interrupted_says_how_it_goes_on(tmp_path):
    out = tmp_path / "c"
    command = [sys.executable, "-m", "deploy", "campaign", "run", campaign_file(tmp_path), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("sweep 2 "):
                process.send_signal(signal.SIGTERM)
                break
        told = process.stderr.read()
    assert process.returncode == 130
    assert f"airtune: go on with: airtune campaign run {out}" in told
    assert 4 <= len(read_soundings(out)) < 80


def test_a_campaign_that_never_sounded_leaves_nothing_but_one_that_did_is_kept(tmp_path, capsys, monkeypatch):
    def no_radio(journal, sounded, warn):
        raise RadioError("ip:10.0.0.9: No route to host (errno 113)")

    out = tmp_path / "c"
    command = ["campaign", "run", campaign_file(tmp_path), "--out", str(out)]
    with monkeypatch.context() as patched:
        patched.setattr("calibration.campaign.run.run_campaign", no_radio)
        assert main(command) == RadioError.exit_code
    assert "airtune: nothing was sounded and nothing is kept" in capsys.readouterr().err
    assert not out.exists()
    assert main(command) == 0
    with monkeypatch.context() as patched:
        patched.setattr("calibration.campaign.run.run_campaign", no_radio)
        assert main(["campaign", "run", str(out)]) == RadioError.exit_code
    assert f"go on with: airtune campaign run {out}" in capsys.readouterr().err
    assert len(read_soundings(out)) == 80


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_a_line_a_sweep_elsewhere(tmp_path):
    plan = campaign_plan(sweeps=2)
    soundings = measured(tmp_path / "c", plan)
    for stream, marks in ((io.StringIO(), ["going on after 3 soundings", "sweep 2 of 2: 3 of 3 soundings heard"]),
                          (Terminal(), ["6/6", "soundings"])):  # fmt: skip
        with open_campaign_progress(plan, 3, stream) as progress:
            for sounding in soundings[3:]:
                progress.sounded(sounding)
            progress.warn("a radio is loud")
        assert all(mark in stream.getvalue() for mark in [*marks, "warning: a radio is loud"])


def test_what_radios_warn_of_is_passed_on(tmp_path):
    plan = campaign_plan(2, radio={"driver": "simulated", "record_iq": True})
    told = []
    with Journal.create(tmp_path / "c", plan) as journal:
        (tmp_path / "c" / "iq").write_text("in the way")
        run_campaign(journal, warn=told.append)
    assert told == ["base-station: IQ is no longer recorded: File exists"]
    assert not (tmp_path / "c" / "radios.jsonl").exists()


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


def test_a_torn_last_line_costs_its_sounding_alone(tmp_path):
    plan = campaign_plan(sweeps=2)
    soundings = measured(tmp_path / "c", plan)
    path = tmp_path / "c" / JOURNAL_FILE
    path.write_bytes(path.read_bytes()[:-7])
    assert read_soundings(tmp_path / "c") == soundings[:-1]
    with Journal(tmp_path / "c") as journal:
        run_campaign(journal)
    assert without_dates(read_soundings(tmp_path / "c")) == without_dates(soundings)


def test_a_damaged_line_is_named(tmp_path):
    measured(tmp_path / "c", campaign_plan(sweeps=1))
    path = tmp_path / "c" / JOURNAL_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(RunError, match="line 2 is damaged"):
        read_soundings(tmp_path / "c")


def test_one_process_measures_a_campaign_and_a_directory_is_not_taken_twice(tmp_path):
    plan = campaign_plan(sweeps=1)
    with Journal.create(tmp_path / "c", plan), pytest.raises(RunError, match="another process"):
        Journal(tmp_path / "c")
    with pytest.raises(RunError, match="already there; go on with it: airtune campaign run"):
        Journal.create(tmp_path / "c", plan)
    with pytest.raises(RunError, match="no campaign there"):
        Journal(tmp_path)


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


def test_a_radio_that_stays_away_ends_the_campaign_with_what_it_has(tmp_path, monkeypatch):
    plan = campaign_plan(sweeps=2)
    whole = measured(tmp_path / "whole", plan)

    def gone(self, receiver, time_s, window, burst):
        if (window.round_index, window.kind) == (2, "silent"):
            raise RadioError("unplugged")
        return original(self, receiver, time_s, window, burst)

    original = radios.CampaignRadios.hear
    with monkeypatch.context() as patched, Journal.create(tmp_path / "c", plan) as journal:
        patched.setattr(radios.CampaignRadios, "hear", gone)
        with pytest.raises(RadioError, match="unplugged"):
            run_campaign(journal)
    with Journal(tmp_path / "c") as journal:
        assert len(journal.soundings) == 3
        run_campaign(journal)
        assert without_dates(journal.soundings) == without_dates(whole)


def test_recordings_say_where_and_what_and_are_sigmf(tmp_path):
    sigmf = pytest.importorskip("sigmf")
    origin = {"latitude_deg": 48.0, "longitude_deg": 11.0, "altitude_m": 500.0}
    stops = [{"radio": "base-station", "position_m": [0.0, 100.0, 2.0]}]
    plan = campaign_plan(
        2, [{"name": "near", "distance_m": 8.0}], radio={"driver": "simulated", "record_iq": True},
        campaign={"origin": origin, "stops": stops, "notes": "third floor"},
    )  # fmt: skip
    soundings = measured(tmp_path / "c", plan)
    for sounding in soundings:
        recording = sigmf.fromfile(tmp_path / "c" / "iq" / f"round-{sounding.sweep:04d}.sigmf-meta")
        recording.validate()
        every, captures = recording.get_global_info(), recording.get_captures()
        assert (every["airtune:campaign"], every["airtune:notes"]) == ("lab", "third floor")
        assert every["core:sha512"]
        longitude, latitude, altitude = captures[0]["core:geolocation"]["coordinates"]
        assert (longitude, altitude) == (11.0, 502.0)
        assert (latitude - 48.0) * 111_200 == pytest.approx(100.0, rel=0.01)
        (heard,) = (a for a in recording.get_annotations() if a["airtune:kind"] == "sounding")
        assert heard["airtune:gain_db"] == pytest.approx(sounding.mean_gain_db)
        assert heard["airtune:transmitter_m"] == [8.0, 0.0, 0.0]
    assert [c["airtune:kind"] for c in captures] == ["silent", "sounding"]


def test_a_sweep_that_was_interrupted_is_one_recording_all_the_same(tmp_path):
    sigmf = pytest.importorskip("sigmf")
    members = [{"name": "a", "distance_m": 8.0}, {"name": "b", "distance_m": 12.0}]
    plan = campaign_plan(1, members, radio={"driver": "simulated", "record_iq": True})

    def interrupt(sounding):
        raise KeyboardInterrupt

    with Journal.create(tmp_path / "c", plan) as journal, pytest.raises(KeyboardInterrupt):
        run_campaign(journal, interrupt)
    with Journal(tmp_path / "c") as journal:
        run_campaign(journal)
    recording = sigmf.fromfile(tmp_path / "c" / "iq" / "round-0001.sigmf-meta")
    recording.validate()
    kinds = [(c["airtune:window"], c["airtune:kind"]) for c in recording.get_captures()]
    assert kinds == [(0, "silent"), (1, "acquisition"), (2, "sounding"), (9, "acquisition"), (10, "sounding")]
    heard = [a["airtune:client"] for a in recording.get_annotations() if a.get("airtune:detected")]
    assert heard == ["a", "b"]


def test_a_place_on_earth_is_where_metres_east_and_north_lead():
    from calibration.campaign.plan import Origin

    lon, lat, alt = geolocation(Origin(60.0, 20.0, 5.0), [1000.0, -1000.0])["coordinates"]
    # Lengths of a degree at 60 degrees north on the WGS 84 ellipsoid: 55,800 m and 111,412 m (NGA tables).
    assert (lon - 20.0) * 55_800 == pytest.approx(1000.0, rel=1e-4)
    assert (lat - 60.0) * 111_412 == pytest.approx(-1000.0, rel=1e-4)
    assert alt == 5.0


def test_the_table_holds_every_sounding_with_its_uncertainties(tmp_path):
    plan = campaign_plan(sweeps=2, members=[{"name": "near", "distance_m": 8.0}, {"name": "gone", "distance_m": 9e3}])
    soundings = measured(tmp_path / "c", plan)
    summary = summarise(plan, soundings, GRID)
    path, links = write_tables(tmp_path / "c", plan, soundings, summary)
    rows = pq.read_table(path).to_pylist()
    assert [(r["sweep"], r["transmitter"], r["detected"]) for r in rows] == [
        (1, "near", True), (1, "gone", False), (2, "near", True), (2, "gone", False),
    ]  # fmt: skip
    seen = estimate_sounding(soundings[0], GRID)
    assert rows[0]["gain_db"] == pytest.approx(seen.gain_db.value)
    assert rows[0]["gain_uncertainty_db"] == pytest.approx(seen.gain_db.uncertainty)
    assert [len(rows[0][name]) for name in ("sinr_db", "sinr_uncertainty_db", "channel_real")] == [28, 28, 221]
    assert rows[1]["gain_db"] is None
    (link,) = pq.read_table(links).to_pylist()
    assert (link["transmitter"], link["detected"], link["k_factor"], link["doppler_hz"]) == ("near", 2, None, None)
    told = summary.links[0]
    assert (link["gain_db"], link["gain_uncertainty_db"]) == (told.gain_db.value, told.gain_db.uncertainty)
    assert (link["cfo_hz"], link["cfo_uncertainty_hz"]) == (told.cfo_hz.value, told.cfo_hz.uncertainty)
    assert {"doppler_uncertainty_hz", "k_factor_uncertainty", "delay_spread_uncertainty_s"} <= link.keys()


def test_an_experiment_whose_rank_is_planned_is_a_campaign_all_the_same(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(CAMPAIGN + '[model]\nlora_rank = "auto"\n')
    assert load_plan(path, []).sweeps == 40


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("campaign.interval=3", r"unknown key 'campaign\.interval'; the nearest valid one is 'interval_s'"),
        ("campaign.interval_s=0", r"campaign\.interval_s"),
        ('campaign.stops=[{radio="c", position_m=[1, 2]}]', "no radio 'c'; there are: base-station, a, b"),
        ('campaign.stops=[{radio="a", position_m=[1]}]', r"campaign\.stops\[0\]\.position_m"),
        ("campaign.duration_s=1e9", "at most 1000000"),
        ("campaign.links=some", r"campaign\.links"),
        ("radio.record_iq=true", 'driver = "abstract" has no samples to record'),
    ],
)
def test_a_campaign_that_cannot_be_is_told(tmp_path, override, told):
    with pytest.raises(ConfigurationError, match=told) as refusal:
        load_plan(Path(campaign_file(tmp_path)), [override])
    assert "\n" not in str(refusal.value)


def test_every_pair_in_simulation_needs_places(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(CAMPAIGN.replace("distance_m = 20.0", "mean_snr_db = 9.0"))
    with pytest.raises(ConfigurationError, match="where is b"):
        load_plan(path, ["campaign.links=every-pair"])


def test_options_of_the_command_are_those_of_the_table(tmp_path, capsys):
    out = tmp_path / "c"
    command = [
        "campaign", "run", campaign_file(tmp_path), "--interval-s", "2", "--duration-s", "4", "--links", "every-pair",
        "--position", "b=0,5", "--position", "b@2=0,9,1", "--notes", 'a "quoted" note', "--out", str(out), "--json",
    ]  # fmt: skip
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["soundings"] == 12
    with Journal(out) as journal:
        assert journal.plan.campaign.notes == 'a "quoted" note'
        assert [s.distance_m for s in journal.soundings if s.link == Link("b", "base-station")] == [5.0, 9.055]
    assert main(["campaign", "run", str(out), "--interval-s", "3"]) == 2
    assert "goes on as it was begun" in capsys.readouterr().err
