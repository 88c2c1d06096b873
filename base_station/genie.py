"""The channel as it is, not as it was measured: for ``tsfa.allocation = "genie"`` on simulated radios (ours).

Path, fade, noise and jammer; a receiver's own errors and impairments are not part of it.
"""

from __future__ import annotations

import numpy as np

from base_station.channel import ChannelMeasurement, measurement_from_sounding
from protocol.bursts import BurstReport, SoundingBurst
from protocol.configuration import Experiment
from radio.abstract.link import rb_noise_db
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import RX_FULL_SCALE_DBM, path_gain_db
from radio.numerology import Numerology


def true_channel(experiment: Experiment, numerology: Numerology, round_index: int, name: str) -> ChannelMeasurement:
    """What a sounding burst over the whole band would show in this round if nothing disturbed it."""
    total = numerology.rb_total
    loaded = numerology.loaded_subcarriers(0, total)
    taps = draws.taps(experiment, round_index, name)
    power = np.abs(frequency_response(taps, loaded * numerology.subcarrier_spacing_hz)) ** 2
    rb = (loaded - loaded[0]) // numerology.rb_subcarriers
    path_db = path_gain_db(experiment, experiment.member(name))
    gain_db = path_db + 10.0 * np.log10(np.bincount(rb, power) / np.bincount(rb))
    noise_db = rb_noise_db(experiment, numerology) - 10.0 * np.log10(numerology.rb_subcarriers)
    sent_dbm = experiment.radio.tx_power_dbm - 10.0 * np.log10(len(loaded))
    sinr_db = sent_dbm + gain_db - RX_FULL_SCALE_DBM - noise_db
    report = BurstReport(
        name, 0, detected=True, gain_db=gain_db.tolist(), noise_db=noise_db.tolist(),
        sinr_db=sinr_db.tolist(), channel_db=(path_db + 10.0 * np.log10(power)).tolist(),
    )  # fmt: skip
    return measurement_from_sounding(SoundingBurst(name, 0, 0, total), report, 0, report.noise_db, numerology)
