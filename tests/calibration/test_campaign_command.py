"""What `airtune campaign run` takes, refuses and shows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from campaign_lab import CAMPAIGN, campaign_file, campaign_plan, measured

from calibration.campaign.journal import Journal
from calibration.campaign.plan import Link, load_plan
from deploy.campaign_progress import open_campaign_progress
from deploy.cli import main
from protocol.errors import ConfigurationError


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
