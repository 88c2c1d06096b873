"""Rates of every client in rounds that were not run: sounded and measured as in a run, without samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from base_station.channel import barred_rbs, measurement_from_sounding
from base_station.round_link import capped_rates
from protocol.bursts import SoundingBurst, Window
from protocol.configuration import Experiment
from radio.abstract.link import AbstractLink, rb_noise_db
from radio.channel import draws
from radio.fragments import payload_share
from radio.limits import experiment_numerology, window_samples
from radio.link_tables import LinkTables
from radio.modem import burst_air_samples
from radio.modem.mcs import BLOCK_FORMATS
from radio.numerology import Numerology
from radio.placed_rates import PlacedRates
from radio.rates import LinkRule
from radio.soundings import SILENT_WINDOW_SAMPLES

FIRST_ROUND = 1_000_000
"""Rounds of the plan are numbered from here: their channels are not those of the run, unless it replays (ours)."""


@dataclass(frozen=True)
class DrawnRound:
    """What TSFA would know of one round's links."""

    rates: Mapping[str, PlacedRates]
    """Of the clients that can be heard."""
    sounding_s: float
    """Silent window and soundings, model time."""


def sounding_s(experiment: Experiment) -> float:
    """Silent window and soundings of a round, model time."""
    numerology, members = experiment_numerology(experiment), experiment.clients.members
    samples = SILENT_WINDOW_SAMPLES + len(members) * _window_samples(experiment, numerology)
    return samples / numerology.sample_rate_hz


def draw_rounds(experiment: Experiment, count: int, first: int = FIRST_ROUND) -> list[DrawnRound]:
    """``count`` rounds of the experiment's channel from ``first`` on, link adaptation at its first offset.

    Raises DataError.
    """
    radio, numerology = experiment.radio, experiment_numerology(experiment)
    block_bytes = BLOCK_FORMATS[radio.codec].block_bytes
    share = payload_share(radio.fragment_bytes, block_bytes)
    rule = LinkRule(LinkTables.load().of(radio.codec), numerology, radio.target_block_error_rate, share)
    link = AbstractLink(experiment, numerology)
    silent_db = rb_noise_db(experiment, numerology).tolist()
    barred = barred_rbs(silent_db, radio.barred_interference_db)
    names = [member.name for member in experiment.clients.members]
    samples, before_grants_s = _window_samples(experiment, numerology), sounding_s(experiment)
    rounds = []
    for index in range(first, first + count):
        channels = {}
        for place, name in enumerate(names):
            offset_hz = 1e-6 * draws.offset_ppm(experiment, name) * radio.carrier_hz
            burst = SoundingBurst(name, 1, 0, numerology.rb_total, cfo_correction_hz=-offset_hz)
            report = link.report(Window("plan", index, place, "sounding", samples), burst, [])
            if report.detected:
                channels[name] = measurement_from_sounding(burst, report, 0, silent_db, numerology)
        offsets = dict.fromkeys(channels, radio.snr_margin_db)
        rounds.append(DrawnRound(capped_rates(rule, channels, radio, offsets, barred), before_grants_s))
    return rounds


def _window_samples(experiment: Experiment, numerology: Numerology) -> int:
    """Of one sounding."""
    burst = SoundingBurst(experiment.clients.members[0].name, 1, 0, numerology.rb_total)
    return window_samples(burst_air_samples(burst, numerology), experiment.radio.jitter_samples)
