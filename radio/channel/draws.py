"""Every random draw of the simulated radio, each keyed by what it belongs to.

A draw depends on the experiment's seed and its key alone, so a repeated or resumed round sees
the same channel. Source: ours (docs/design.md, section 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Window
from protocol.configuration import Experiment
from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, Taps, draw_moving_taps, draw_taps
from radio.channel.impairments import RadioPhases, draw_phases
from radio.channel.replay import experiment_replay

BASE_STATION = "base-station"
"""Key of the base station's crystal and hardware; a receiver unless ``channel.receiver`` says otherwise."""

INVERTED_STRETCH_SAMPLES = 280
"""Length of the stretches whose sign the fault ``channel.inverted_fraction`` turns (one OFDM symbol)."""


def crystal_ppm(experiment: Experiment, name: str) -> float:
    """Crystal error of the radio called ``name``, uniform within ``carrier_offset_ppm``, parts per million."""
    limit = experiment.channel.carrier_offset_ppm
    return float(random_stream(experiment.experiment.seed, "crystal", name).uniform(-limit, limit))


def offset_ppm(experiment: Experiment, client: str) -> float:
    """Crystal of a client relative to the receiver's: moves carrier and sample clock alike, ppm."""
    return crystal_ppm(experiment, client) - crystal_ppm(experiment, experiment.channel.receiver)


def path_name(experiment: Experiment, client: str) -> str:
    """What the fades between a client and the receiver are drawn for: the same in both directions."""
    ends = {client, experiment.channel.receiver} - {BASE_STATION}
    return "|".join(sorted(ends))


def fading_model(experiment: Experiment) -> FadingModel:
    """What the experiment's fades are drawn from. Raises ConfigurationError if the delay spread is too large."""
    channel = experiment.channel
    return FadingModel(channel.model, channel.delay_spread_s, channel.rician_k_db, channel.minimum_fade_db)


def check_channel(experiment: Experiment) -> None:
    """Raise ConfigurationError or DataError if there can be no fades as ``[channel]`` says."""
    if experiment.channel.model == "replay":
        experiment_replay(experiment).check(experiment)
    else:
        fading_model(experiment)


def taps(experiment: Experiment, round_index: int, client: str) -> Taps:
    """The client's channel in a round, mean power 1 (before the cut of deep Rayleigh fades), path loss apart.

    With Doppler it is the client's one moving channel at the round's nominal time. A replayed one is as it was
    measured.
    """
    if experiment.channel.model == "replay":
        return experiment_replay(experiment).taps(client, round_index)
    seed, doppler_hz = experiment.experiment.seed, experiment.channel.doppler_hz
    path = path_name(experiment, client)
    if doppler_hz == 0.0:
        return draw_taps(random_stream(seed, "fade", round_index, path), fading_model(experiment))
    rng = random_stream(seed, "moving fade", path)
    return draw_moving_taps(rng, fading_model(experiment), doppler_hz, nominal_time_s(experiment, round_index))


def nominal_time_s(experiment: Experiment, round_index: int) -> float:
    """Model time at which a round fades: rounds are one latency budget apart, whatever they really took, s.

    So the channel of a round is the same for every method and after every resume.
    """
    return round_index * experiment.tsfa.latency_budget_s


def hardware_phases(experiment: Experiment, name: str) -> RadioPhases:
    """Phases of image and carrier leak of the radio called ``name``."""
    return draw_phases(random_stream(experiment.experiment.seed, "hardware phases", name))


def jammer_stream(experiment: Experiment, window: Window) -> np.random.Generator:
    """What the jammer's samples of a window are drawn from."""
    return random_stream(experiment.experiment.seed, "jammer", window.round_index, window.index)


def phase_and_fraction(experiment: Experiment, window: Window, client: str) -> tuple[float, float]:
    """Carrier phase (radians) and the fraction of a sample by which a client's burst comes late."""
    rng = random_stream(experiment.experiment.seed, "phase", window.round_index, client, window.index)
    return float(rng.uniform(0.0, 2.0 * np.pi)), float(rng.uniform(0.0, 1.0))


def jitter(experiment: Experiment, window: Window, client: str) -> int:
    """Sample of the window's first ``jitter_samples`` in which the client's burst starts."""
    limit = experiment.radio.jitter_samples
    if limit == 0:
        return 0
    rng = random_stream(experiment.experiment.seed, "jitter", window.round_index, client, window.index)
    return int(rng.integers(0, limit))


def noise(experiment: Experiment, window: Window) -> NDArray[np.complex64]:
    """Receiver noise of unit power, complex64 (n_samples,)."""
    rng = random_stream(experiment.experiment.seed, "noise", window.round_index, window.index)
    parts = rng.standard_normal(2 * window.n_samples, dtype=np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)


def inverted_stretches(experiment: Experiment, window: Window, client: str, stretches: int) -> NDArray[np.bool_]:
    """Which stretches of a data burst arrive with the sign turned, bool (stretches,)."""
    rng = random_stream(experiment.experiment.seed, "inverted", window.round_index, client, window.index)
    inverted: NDArray[np.bool_] = rng.random(stretches) < experiment.channel.inverted_fraction
    return inverted


def lost_blocks(experiment: Experiment, window: Window, client: str, blocks: int) -> NDArray[np.bool_]:
    """Which received blocks the fault ``channel.lost_block_rate`` discards, bool (blocks,)."""
    rng = random_stream(experiment.experiment.seed, "lost-block", window.round_index, client, window.index)
    lost: NDArray[np.bool_] = rng.random(blocks) < experiment.channel.lost_block_rate
    return lost
