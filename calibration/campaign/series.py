"""The soundings of one link as arrays, and drawing them again: uncertainties of whatever is computed from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.campaign.estimates import SoundingGrid, noise_per_subcarrier
from calibration.campaign.plan import Link
from calibration.campaign.records import Sounding
from radio.quantity import Quantity

Array = NDArray[np.float64]
REDRAWS = 200
"""How often soundings are drawn again."""
LEAST_INDEPENDENT = 8
INDEPENDENT = 0.2
"""Correlation of fading powers below which soundings count as independent."""


class LinkSeries(NamedTuple):
    """What was heard of a link, in order of time."""

    link: Link
    soundings: list[Sounding]
    missed: int
    """Soundings in which nothing was heard."""
    time_s: Array
    """(soundings,)."""
    gain: Array
    """Mean power gain over the band, linear, (soundings,)."""
    rb_power: Array
    """Power of each RB over the mean gain of its place, (soundings, RBs): fading without path loss."""
    response: NDArray[np.complex128]
    """Channel over the same mean, (soundings, loaded subcarriers)."""
    noise: Array
    """Error power of ``response`` on each subcarrier, (soundings,)."""

    def still(self) -> LinkSeries:
        """The part in the place where most soundings were heard: fading is judged where nobody was carried about."""
        places = [_place(sounding) for sounding in self.soundings]
        most = max(dict.fromkeys(places), key=places.count)
        at = [i for i, place in enumerate(places) if place == most]
        if len(at) == len(places):
            return self
        kept = {name: getattr(self, name)[at] for name in ("time_s", "gain", "rb_power", "response", "noise")}
        return self._replace(soundings=[self.soundings[i] for i in at], **kept)

    @property
    def block(self) -> int:
        """Successive soundings that say no more than one: their fading is alike."""
        return correlated_soundings(self.rb_power)


def link_series(link: Link, soundings: Sequence[Sounding], grid: SoundingGrid) -> LinkSeries | None:
    """Series of the soundings of ``link`` among ``soundings``; None if it was never heard."""
    own = [s for s in soundings if s.link == link]
    heard = [s for s in own if s.detected]
    if not heard:
        return None
    gain = np.array([s.mean_gain for s in heard])
    over_place = gain / _place_means(heard, gain)
    scaled = [noise_per_subcarrier(s, grid) for s in heard]
    amplitude = np.sqrt(over_place)[:, None]
    rb_gain = 10.0 ** (np.array([s.gain_db for s in heard]) / 10.0)
    return LinkSeries(
        link=link, soundings=heard, missed=len(own) - len(heard), time_s=np.array([s.time_s for s in heard]), gain=gain,
        rb_power=rb_gain * (over_place / gain)[:, None],
        response=np.array([response for response, _ in scaled]) * amplitude,
        noise=np.array([noise for _, noise in scaled]) * over_place,
    )  # fmt: skip


def _place_means(heard: Sequence[Sounding], gain: Array) -> Array:
    """Mean gain of each sounding's place: both ends where they are."""
    places = [_place(sounding) for sounding in heard]
    means = {place: float(np.mean([g for g, p in zip(gain, places, strict=True) if p == place])) for place in places}
    return np.array([means[place] for place in places])


def _place(sounding: Sounding) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(sounding.transmitter_m or ()), tuple(sounding.receiver_m or ())


def correlated_soundings(rb_power: Array) -> int:
    """From how many soundings on fading powers, (soundings, RBs), are independent; at most a fifth of all."""
    count = len(rb_power)
    deviation = rb_power - rb_power.mean(axis=0)
    total = float(np.mean(deviation**2))
    for lag in range(1, max(2, count // 5)):
        if total <= 0.0 or float(np.mean(deviation[lag:] * deviation[:-lag])) < INDEPENDENT * total:
            return lag
    return max(1, count // 5)


def redrawn(count: int, block: int, seed: int) -> NDArray[np.int64]:
    """Indices of ``REDRAWS`` samples of ``count`` soundings, drawn in runs of ``block``, (redraws, count).

    Moving-block bootstrap (Kuensch, Ann. Statist. 17(3), 1989).
    """
    rng = np.random.default_rng(seed)
    runs = -(-count // block)
    starts = rng.integers(0, count - block + 1, (REDRAWS, runs, 1))
    return np.asarray((starts + np.arange(block)).reshape(REDRAWS, -1)[:, :count])


def with_uncertainty(series: LinkSeries, value: Callable[[NDArray[np.int64]], float]) -> Quantity | None:
    """``value`` of all soundings (by index) with how much it varies over samples drawn again; None if it is not finite.

    Of fewer than ``LEAST_INDEPENDENT`` independent soundings nothing can be said.
    """
    count, block = len(series.soundings), series.block
    if count < LEAST_INDEPENDENT * block:
        return None
    found = value(np.arange(count))
    varied = np.array([value(indices) for indices in redrawn(count, block, seed=1)])
    varied = varied[np.isfinite(varied)]
    if not np.isfinite(found) or len(varied) < REDRAWS // 2:
        return None
    return Quantity(float(found), float(np.std(varied)))
