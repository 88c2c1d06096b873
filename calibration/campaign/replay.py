"""A campaign as a channel of the simulator and of ``airtune plan``: each sounding becomes taps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.campaign.estimates import SoundingGrid, noise_per_subcarrier, sounding_grid
from calibration.campaign.plan import CampaignPlan, Link
from calibration.campaign.records import Sounding
from protocol.errors import ConfigurationError, RunError
from radio.channel.replay import ReplayFile, ReplayLink
from radio.limits import experiment_numerology
from radio.modem.channel_estimate import mean_delay, smooth_channel

TAPS = 16
"""A sample apart each."""
MEAN_DELAY_SAMPLES = 2
"""Tap at which a sounding's mean delay is put: bursts are not timed, and paths before the mean need room."""
RIDGE = 1e-4
"""Of the least-squares fit, relative to a tap's energy: the band is narrower than the samples' rate."""


class MadeReplay(NamedTuple):
    """A channel file's content, and how well taps stand for what was measured."""

    content: ReplayFile
    unexplained: dict[str, float]
    """By client: mean share of a smoothed sounding's power that its taps leave out."""
    missed: dict[str, int]
    """By client: soundings that were not heard, which are played as silence."""


def make_replay(plan: CampaignPlan, soundings: Sequence[Sounding], receiver: str) -> MadeReplay:
    """Channels of everybody who was heard by ``receiver``, sweep by sweep as far as sweeps are complete.

    Raises ConfigurationError if nobody was meant to be, RunError if nobody was heard or no sweep is complete.
    """
    links = [link for link in plan.links if link.receiver == receiver]
    if not links:
        known = ", ".join(sorted({link.receiver for link in plan.links}))
        raise ConfigurationError(f"--receiver {receiver}: did not receive in this campaign; there are: {known}")
    rounds = len(soundings) // len(plan.links)
    if rounds == 0:
        raise RunError(f"campaign {plan.name}: not one sweep is complete; go on with airtune campaign run")
    numerology = experiment_numerology(plan.experiment)
    grid = sounding_grid(numerology)
    made = {link.transmitter: _link(link, soundings, rounds, grid) for link in links}
    heard = {name: one for name, one in made.items() if one is not None}
    if not heard:
        raise RunError(f"campaign {plan.name}: {receiver} never heard anybody")
    content = ReplayFile(
        campaign=plan.name,
        receiver=receiver,
        carrier_hz=plan.experiment.radio.carrier_hz,
        sample_rate_hz=numerology.sample_rate_hz,
        interval_s=plan.campaign.interval_s,
        rounds=rounds,
        delays_s=(np.arange(TAPS) / numerology.sample_rate_hz).tolist(),
        links={name: one.link for name, one in heard.items()},
    )
    unexplained = {name: one.unexplained for name, one in heard.items()}
    return MadeReplay(content, unexplained, {name: one.missed for name, one in heard.items()})


class _Made(NamedTuple):
    link: ReplayLink
    unexplained: float
    missed: int


def _link(link: Link, soundings: Sequence[Sounding], rounds: int, grid: SoundingGrid) -> _Made | None:
    own = [s for s in soundings if s.link == link and s.sweep <= rounds]
    heard = [s for s in own if s.detected]
    if not heard:
        return None
    mean_gain = float(np.mean([s.mean_gain for s in heard]))
    taps = np.zeros((rounds, TAPS), np.complex64)
    unexplained = []
    for sounding in heard:
        found, left = sounding_taps(sounding, grid)
        taps[sounding.sweep - 1] = found * np.sqrt(sounding.mean_gain / mean_gain)
        unexplained.append(left)
    made = ReplayLink(10.0 * float(np.log10(mean_gain)), taps.astype("<c8").tobytes())
    return _Made(made, float(np.mean(unexplained)), len(own) - len(heard))


def sounding_taps(sounding: Sounding, grid: SoundingGrid) -> tuple[NDArray[np.complex128], float]:
    """Amplitudes of ``TAPS`` taps a sample apart, mean power over the band 1, and the share of power they leave out.

    The channel is smoothed as the receiver does it, then fitted by least squares over the loaded subcarriers.
    """
    layout, subcarriers, size = grid.layout, grid.subcarriers, grid.numerology.fft_size
    raw, noise = noise_per_subcarrier(sounding, grid)
    error = np.full(len(raw), noise)
    channel = smooth_channel(raw, error, layout).astype(np.complex128)
    delay = mean_delay(channel.astype(np.complex64), error, layout) - MEAN_DELAY_SAMPLES
    aligned = channel * np.exp(2j * np.pi * delay / size * subcarriers)
    turns = np.exp(-2j * np.pi / size * np.multiply.outer(subcarriers, np.arange(TAPS)))
    normal = turns.conj().T @ turns + RIDGE * len(subcarriers) * np.eye(TAPS)
    taps = np.linalg.solve(normal, turns.conj().T @ aligned)
    fitted = turns @ taps
    left = float(np.mean(np.abs(fitted - aligned) ** 2) / np.mean(np.abs(aligned) ** 2))
    power_per_rb = np.bincount(layout.rb_of_subcarrier, np.abs(fitted) ** 2) / np.bincount(layout.rb_of_subcarrier)
    scaled: NDArray[np.complex128] = taps / np.sqrt(power_per_rb.mean())
    return scaled, left
