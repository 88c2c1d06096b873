"""The campaign that ships: small, made by the command its file names, and of use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from campaign_lab import measured

from calibration.campaign.journal import read_plan, read_soundings
from calibration.campaign.plan import load_plan
from deploy.cli import main

SAMPLE = Path(__file__).parents[2] / "examples" / "campaign"
CORRIDOR = SAMPLE / "corridor"


def test_the_sample_campaign_is_what_its_file_gives(tmp_path):
    plan, shipped = read_plan(CORRIDOR), read_soundings(CORRIDOR)
    described = load_plan(SAMPLE / "campaign.toml", [])
    assert plan.campaign == described.campaign
    assert (plan.experiment.channel, plan.radios) == (described.experiment.channel, described.radios)
    again = measured(tmp_path / "again", plan)
    assert [(s.sweep, s.link, s.distance_m) for s in again] == [(s.sweep, s.link, s.distance_m) for s in shipped]
    np.testing.assert_allclose([s.gain_db for s in again], [s.gain_db for s in shipped], atol=0.02)


def test_the_sample_campaign_is_small():
    assert sum(file.stat().st_size for file in CORRIDOR.rglob("*")) < 300_000


def test_the_sample_campaign_can_be_shown_and_replayed(tmp_path, capsys):
    copy = tmp_path / "corridor"
    copy.mkdir()
    for file in CORRIDOR.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert main(["campaign", "show", str(copy), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["soundings"], len(shown["path_loss"]["distance_m"])) == (96, 6)
    truth = read_plan(copy).experiment.channel.path_loss_exponent
    exponent = shown["path_loss"]["exponent"]
    assert abs(exponent["value"] - truth) < 3.0 * exponent["uncertainty"]
    assert main(["campaign", "replay", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rounds"] == 32
