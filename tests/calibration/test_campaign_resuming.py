"""Campaigns lose at most the sounding they were ended at, and go on as if they had not been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from campaign_lab import campaign_file, campaign_plan, measured, without_dates

from calibration.campaign import radios
from calibration.campaign.journal import JOURNAL_FILE, Journal, read_soundings
from calibration.campaign.run import run_campaign
from deploy.cli import main
from protocol.errors import RadioError, RunError


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
