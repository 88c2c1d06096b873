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

BASE_STATION = "base-station"
"""Key of the base station's crystal."""

INVERTED_STRETCH_SAMPLES = 280
"""Length of the stretches whose sign the fault ``channel.inverted_fraction`` turns (one OFDM symbol)."""


def crystal_ppm(experiment: Experiment, name: str) -> float:
    """Crystal error of the radio called ``name``, uniform within ``carrier_offset_ppm``, parts per million."""
    limit = experiment.channel.carrier_offset_ppm
    return float(random_stream(experiment.experiment.seed, "crystal", name).uniform(-limit, limit))


def offset_ppm(experiment: Experiment, client: str) -> float:
    """Crystal of a client relative to the base station's: moves carrier and sample clock alike, ppm."""
    return crystal_ppm(experiment, client) - crystal_ppm(experiment, BASE_STATION)


def fade(experiment: Experiment, round_index: int, client: str) -> complex:
    """Complex amplitude of the client's flat fade in a round, mean power 1 before the cut of deep fades."""
    if experiment.channel.model == "awgn":
        return 1.0 + 0.0j
    rng = random_stream(experiment.experiment.seed, "fade", round_index, client)
    floor = 10.0 ** (experiment.channel.minimum_fade_db / 10.0)
    while True:
        real, imag = rng.standard_normal(2) * np.sqrt(0.5)
        if real * real + imag * imag >= floor:
            return complex(real, imag)


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
