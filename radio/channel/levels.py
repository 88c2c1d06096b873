"""Levels of the simulated radio: what digital full scale means in dBm, path gain, noise.

Transmit side: digital power 1.0 is ``radio.tx_power_dbm``. Receive side: digital power 1.0 (0 dBFS) is
``RX_FULL_SCALE_DBM``. Source: link budget arithmetic as in any textbook; the constants are ours.
"""

from __future__ import annotations

import math

from protocol.configuration import ClientTable, Experiment
from protocol.errors import ConfigurationError
from radio.channel.replay import experiment_replay
from radio.numerology import numerology_at

RX_FULL_SCALE_DBM = -30.0
"""Power of a receiver input of digital power 1.0, dBm: a client at one metre and 10 dBm just reaches it."""

TX_PEAK_AMPLITUDE = 10.0 ** (13.0 / 20.0)
"""Largest transmit sample: 13 dB above full power, where OFDM peaks are clipped by the converter."""

THERMAL_NOISE_DBM_HZ = -173.975
"""kT at 290 K, dBm per Hz."""


def noise_dbm(experiment: Experiment, bandwidth_hz: float) -> float:
    """Receiver noise in ``bandwidth_hz``: thermal noise plus noise figure, dBm."""
    return THERMAL_NOISE_DBM_HZ + 10.0 * math.log10(bandwidth_hz) + experiment.channel.noise_figure_db


def path_gain_db(experiment: Experiment, member: ClientTable) -> float:
    """Mean channel power gain of a client (received over transmitted power, negative), dB.

    Set so that ``mean_snr_db`` is the mean reference SNR, else as it was measured (``replay``), else from the distance
    by the log-distance law; ``channel.attenuation_db`` comes on top in all cases. ConfigurationError without any.
    """
    channel = experiment.channel
    if channel.model == "replay" and member.mean_snr_db is None:
        return experiment_replay(experiment).gain_db(member.name) - channel.attenuation_db
    if member.distance_m is not None:
        loss_db = channel.path_loss_1m_db + 10.0 * channel.path_loss_exponent * math.log10(member.distance_m)
        return -loss_db - channel.attenuation_db
    if member.mean_snr_db is None:
        raise ConfigurationError(
            f"client '{member.name}' has a radio on a desk and neither distance_m nor mean_snr_db: give one of them, "
            "where its channel is simulated"
        )
    needed_dbm = _reference_noise_dbm(experiment) + member.mean_snr_db
    return needed_dbm - experiment.radio.tx_power_dbm - channel.attenuation_db


def reference_snr_db(experiment: Experiment, member: ClientTable) -> float:
    """Mean reference SNR: received full power over the noise of the full band, attenuation included, dB."""
    received_dbm = experiment.radio.tx_power_dbm + path_gain_db(experiment, member)
    return received_dbm - _reference_noise_dbm(experiment)


def _reference_noise_dbm(experiment: Experiment) -> float:
    """Noise in the band of the reference SNR: all RBs of the experiment's numerology, dBm."""
    return noise_dbm(experiment, numerology_at(experiment.radio.sample_rate_hz).bandwidth_hz)


def digital_gain_offset_db(experiment: Experiment) -> float:
    """What to add to a gain between digital powers to get the channel's power gain, dB."""
    return RX_FULL_SCALE_DBM - experiment.radio.tx_power_dbm
