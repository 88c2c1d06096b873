"""What a campaign leaves: recordings that say where and what, and tables with uncertainties."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from campaign_lab import campaign_plan, measured

from calibration.campaign.estimates import estimate_sounding, sounding_grid
from calibration.campaign.journal import Journal
from calibration.campaign.plan import Origin
from calibration.campaign.recordings import geolocation
from calibration.campaign.run import run_campaign
from calibration.campaign.summary import summarise
from calibration.campaign.tables import write_tables
from radio.numerology import DEFAULT_2MSPS

GRID = sounding_grid(DEFAULT_2MSPS)


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


def test_what_radios_warn_of_is_passed_on(tmp_path):
    plan = campaign_plan(2, radio={"driver": "simulated", "record_iq": True})
    told = []
    with Journal.create(tmp_path / "c", plan) as journal:
        (tmp_path / "c" / "iq").write_text("in the way")
        run_campaign(journal, warn=told.append)
    assert told == ["base-station: IQ is no longer recorded: File exists"]
    assert not (tmp_path / "c" / "radios.jsonl").exists()


def test_a_place_on_earth_is_where_metres_east_and_north_lead():
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
