"""A campaign on virtual Plutos: a channel of known statistics is recorded, fitted, replayed, and decided on alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from campaign_lab import campaign_plan
from needs import needs_pyadi
from test_campaign_replay import assert_same_decisions, replaying

from calibration.campaign.estimates import sounding_grid
from calibration.campaign.fading import fading_fits, k_factor
from calibration.campaign.journal import Journal
from calibration.campaign.plan import CampaignPlan
from calibration.campaign.records import Sounding
from calibration.campaign.replay import make_replay
from calibration.campaign.run import run_campaign
from calibration.campaign.series import link_series
from calibration.campaign.summary import link_summary
from protocol.bursts import SoundingBurst
from protocol.experiment_file import experiment_from_dict
from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, draw_taps, frequency_response
from radio.channel.replay import ReplayLink
from radio.flowgraphs.receive import receive_branches
from radio.modem import receive
from radio.numerology import DEFAULT_2MSPS
from radio.virtual.control_messages import SetLink
from radio.virtual.testbed import virtual_plutos

pytestmark = needs_pyadi
GRID = sounding_grid(DEFAULT_2MSPS)
FADING = FadingModel("tdl-a", 300e-9)
LOSS_DB = {"near": 62.0, "far": 70.0}
SWEEPS = 40
SEED = 5
CRYSTALS_PPM = {"bs": 0.5, "near": 2.0, "far": -1.5}


class Measured(NamedTuple):
    plan: CampaignPlan
    soundings: list[Sounding]
    directory: Path
    warnings: list[str]


def true_taps(name: str, sweep: int):
    """What the medium drew for a sweep: fades are drawn afresh after each."""
    return draw_taps(random_stream(SEED, "virtual fade", *sorted(("bs", name)), sweep - 1), FADING)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Plan and soundings of two clients, every sweep with fades of its own."""
    medium = {
        "medium": {"model": FADING.name, "delay_spread_s": FADING.delay_spread_s, "seed": SEED},
        "radio": [{"name": name, "crystal_ppm": ppm} for name, ppm in CRYSTALS_PPM.items()],
        "link": [{"between": ["bs", name], "loss_db": loss_db} for name, loss_db in LOSS_DB.items()],
    }
    with virtual_plutos(["bs", *LOSS_DB], medium) as plutos:
        desk = {
            "driver": "pluto", "uri": plutos.uri("bs"), "receive_gain_db": 40.0, "transmit_gain_db": -10.0,
            "max_duty": 1.0, "calibration_dir": "", "record_iq": True, "record_iq_limit_mb": 2,
        }  # fmt: skip
        plan = campaign_plan(
            SWEEPS, [{"name": name, "uri": plutos.uri(name)} for name in LOSS_DB], radio=desk,
            campaign={"interval_s": 0.01, "duration_s": 0.01 * SWEEPS},
        )  # fmt: skip

        def next_fades(sounding):
            if sounding.link == plan.links[-1]:
                for name in LOSS_DB:
                    plutos.control(SetLink(between=["bs", name], redraw=True))

        with Journal.create(tmp_path_factory.mktemp("plutos") / "c", plan) as journal:
            told = []
            run_campaign(journal, next_fades, told.append)
            return Measured(plan, journal.soundings, journal.directory, told)


def test_what_plutos_heard_is_recorded_and_can_be_received_again(campaign):
    sigmf = pytest.importorskip("sigmf")
    _, soundings, directory, warnings = campaign
    recording = sigmf.fromfile(directory / "iq" / "round-0001.sigmf-meta")
    recording.validate()
    assert recording.get_global_info()["core:hw"] == "pluto"
    annotation = next(a for a in recording.get_annotations() if a.get("airtune:detected"))
    burst = msgspec.convert(annotation["airtune:burst"], SoundingBurst)
    start, count = annotation["core:sample_start"], annotation["core:sample_count"]
    # Through the receiver's own branch filter, which shapes noise and the edges of the band.
    (branch,) = receive_branches([burst], recording.read_samples(start, count), DEFAULT_2MSPS)
    again = receive(burst, branch, DEFAULT_2MSPS)
    (then,) = (s for s in soundings if (s.sweep, s.transmitter) == (1, burst.client))
    assert again.detected
    np.testing.assert_allclose(again.sinr_db, then.sinr_db, atol=0.05)
    assert again.cfo_hz == pytest.approx(then.cfo_hz + burst.cfo_correction_hz, abs=2.0)
    files = list(directory.glob("iq/*.sigmf-data"))
    assert 1 < len(files) < SWEEPS
    assert sum(file.stat().st_size for file in files) <= 2_000_000
    assert [text for text in warnings if "IQ" in text] == [
        "base-station: IQ is no longer recorded: radio.record_iq_limit_mb = 2 are full"
    ]


def test_a_campaign_knows_which_pluto_received(campaign):
    (opened,) = map(json.loads, (campaign.directory / "radios.jsonl").read_text().splitlines())
    assert opened["receiver"] == "base-station"
    assert opened["uri"] == campaign.plan.experiment.radio.uri
    assert (bool(opened["serial"]), opened["firmware"], opened["calibration"]) == (True, "v0.38", "none")


def test_soundings_of_plutos_show_the_gains_of_the_medium(campaign):
    soundings = campaign.soundings
    heard = [s for s in soundings if s.detected]
    assert len(heard) >= 0.9 * len(soundings)
    frequency_hz = GRID.subcarriers * DEFAULT_2MSPS.subcarrier_spacing_hz
    errors_db = []
    for sounding in heard:
        response = frequency_response(true_taps(sounding.transmitter, sounding.sweep), frequency_hz)
        truth_db = 10.0 * np.log10(np.mean(np.abs(response) ** 2)) - LOSS_DB[sounding.transmitter]
        errors_db.append(sounding.mean_gain_db - truth_db)
    assert np.abs(np.median(errors_db)) < 0.3
    assert np.percentile(np.abs(errors_db), 90) < 0.5


def test_statistics_of_the_medium_are_found_within_their_errors(campaign):
    plan, soundings, *_ = campaign
    for link in plan.links:
        series = link_series(link, soundings, GRID)
        found = link_summary(series, GRID)
        loss_db = LOSS_DB[link.transmitter]
        assert abs(found.gain_db.value + loss_db) < 3.0 * found.gain_db.uncertainty
        spread = found.delay_spread_s
        assert abs(spread.value - FADING.delay_spread_s) < 3.0 * spread.uncertainty
        k = k_factor(series)
        assert k.value < 3.0 * k.uncertainty
        fits = {fit.model: fit for fit in fading_fits(series)}
        assert fits["rayleigh"].p_value > 0.01
        offset_hz = 1e-6 * (CRYSTALS_PPM[link.transmitter] - CRYSTALS_PPM["bs"]) * plan.experiment.radio.carrier_hz
        assert found.cfo_hz.value == pytest.approx(offset_hz, abs=5.0)


def test_tsfa_decides_on_the_replay_as_on_the_medium_it_was_recorded_from(campaign, tmp_path):
    plan, soundings, *_ = campaign
    measured = make_replay(plan, soundings, "base-station").content
    truth = msgspec.structs.replace(
        measured, delays_s=FADING.delays_s().tolist(),
        links={name: true_link(name, {s.sweep for s in soundings if s.transmitter == name and s.detected})
               for name in LOSS_DB},
    )  # fmt: skip
    experiments = []
    for name, content in (("medium", truth), ("replay", measured)):
        file = tmp_path / f"{name}.json"
        file.write_bytes(msgspec.json.encode(content))
        # Noise and power of a client on the desk; no samples are needed to decide.
        members = [{"name": client, "distance_m": 1.0} for client in LOSS_DB]
        desk = experiment_from_dict(
            {
                "experiment": {"name": "desk"}, "clients": {"members": members},
                "radio": {"driver": "abstract", "tx_power_dbm": -16.0}, "channel": {"noise_figure_db": 4.0},
            },
            "desk",
        )  # fmt: skip
        experiments.append(replaying(desk, file))
    assert_same_decisions(*experiments, rounds=SWEEPS)


def true_link(name: str, heard: set[int]) -> ReplayLink:
    """The medium's own channel in every sweep that was heard, over its mean path."""
    taps = np.array([true_taps(name, sweep).gains * (sweep in heard) for sweep in range(1, SWEEPS + 1)])
    return ReplayLink(-LOSS_DB[name], taps.astype("<c8").tobytes())
