"""Small campaigns for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from calibration.campaign.journal import Journal
from calibration.campaign.plan import CampaignPlan, CampaignTable
from calibration.campaign.records import Sounding
from calibration.campaign.run import run_campaign
from protocol.experiment_file import experiment_from_dict

MEMBERS = [
    {"name": "near", "distance_m": 8.0},
    {"name": "mid", "distance_m": 16.0},
    {"name": "far", "distance_m": 28.0},
]
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


def campaign_plan(sweeps: int = 4, members: list[dict[str, Any]] = MEMBERS, **tables: dict[str, Any]) -> CampaignPlan:
    """Sweeps a second apart on the radio without samples, unless ``tables`` say otherwise."""
    campaign = {"interval_s": 1.0, "duration_s": float(sweeps), **tables.pop("campaign", {})}
    raw: dict[str, Any] = {
        "experiment": {"name": "lab", "seed": 11},
        "radio": {"driver": "abstract"},
        "channel": {"carrier_offset_ppm": 5.0},
        "clients": {"members": members},
    }
    for table, values in tables.items():
        raw[table] = {**raw.get(table, {}), **values}
    return CampaignPlan(msgspec.convert(campaign, CampaignTable), experiment_from_dict(raw, "lab"))


def measured(directory: Path, plan: CampaignPlan) -> list[Sounding]:
    """All soundings of the plan, taken now."""
    with Journal.create(directory, plan) as journal:
        run_campaign(journal)
        return journal.soundings


def without_dates(soundings: list[Sounding]) -> list[Sounding]:
    """What two campaigns of one plan have alike."""
    return [msgspec.structs.replace(sounding, taken_at="") for sounding in soundings]


def campaign_file(tmp_path: Path) -> str:
    """An experiment with a [campaign] of 40 sweeps; its path."""
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN)
    return str(path)
