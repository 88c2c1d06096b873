"""``docs/campaign.md`` against the code: keys, files, columns, fields."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from msgspec.structs import fields

from calibration.campaign.journal import JOURNAL_FILE, PLAN_FILE, RADIOS_FILE
from calibration.campaign.path_loss import PathLossFit
from calibration.campaign.plan import CampaignTable, Stop
from calibration.campaign.summary import CampaignSummary, LinkSummary
from calibration.campaign.tables import LINKS_TABLE, SOUNDINGS_TABLE, _columns

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "campaign.md").read_text("utf-8")
NAMED = set(re.findall(r"[\w.:-]+", PAGE))
SELF_EXPLAINING = {"transmitter", "receiver", "links", "window", "distance_m", "loss_db"}


@pytest.mark.parametrize("field", fields(CampaignTable), ids=lambda field: field.name)
def test_every_key_of_a_campaign_is_on_the_page_with_its_default(field):
    if field.name == "stops":
        assert "`[[campaign.stops]]`" in PAGE
        assert all(f"`{stop.name}`" in PAGE for stop in fields(Stop))
        return
    (default,) = re.findall(rf"^\| `campaign\.{field.name}` \| ([^|]*) \|", PAGE, re.MULTILINE)
    if isinstance(field.default, float):
        assert float(default) == field.default
    elif isinstance(field.default, str) and field.default:
        assert default == f"`{field.default}`"


def test_every_file_column_and_field_is_on_the_page():
    names = {PLAN_FILE, JOURNAL_FILE, RADIOS_FILE, SOUNDINGS_TABLE, LINKS_TABLE}
    names |= {name for name, _ in _columns(pa) if "uncertainty" not in name}
    names |= {field.name for table in (CampaignSummary, LinkSummary, PathLossFit) for field in fields(table)}
    assert names - SELF_EXPLAINING <= NAMED


def test_every_field_of_ours_in_a_recording_is_on_the_page():
    sources = ["radio/recordings.py", "radio/window_recordings.py", "calibration/campaign/recordings.py"]
    written = {name for path in sources for name in re.findall(r'"(airtune:\w+)"', (ROOT / path).read_text("utf-8"))}
    assert written <= NAMED
    assert {"airtune:gain_db", "airtune:samples", "airtune:mcs"} <= written
