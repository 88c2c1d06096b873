"""What a campaign found, link by link: the document of ``airtune campaign show --json``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from calibration.campaign.delays import fading_delay_spread
from calibration.campaign.estimates import DB_PER_NEPER, SoundingGrid, estimate_sounding
from calibration.campaign.fading import FadingFit, fading_fits, k_factor
from calibration.campaign.motion import doppler
from calibration.campaign.path_loss import PathLossFit, path_loss
from calibration.campaign.plan import CampaignPlan
from calibration.campaign.records import Sounding
from calibration.campaign.series import LinkSeries, link_series, with_uncertainty
from radio.quantity import Quantity, mean_of


class LinkSummary(Struct, frozen=True, kw_only=True):
    """One link; what too few soundings cannot say is missing."""

    transmitter: str
    receiver: str
    soundings: int
    detected: int
    distance_m: float | None
    """Of the first sounding heard."""
    gain_db: Quantity
    """Of the mean power; its uncertainty is that of a mean over so many fades."""
    level_uncertainty_db: float | None
    """What comes on top: how well the radios' levels are calibrated; None: nominal, or simulated."""
    gain_spread_db: float
    """Standard deviation of the soundings' gains."""
    sinr_db: float
    """Mean SINR at full power over the band, of the mean power."""
    weakest_sinr_db: float
    """That of the worst resource block ever."""
    cfo_hz: Quantity
    cfo_spread_hz: float
    """Standard deviation over the campaign: drift of two crystals."""
    burst_delay_spread_s: Quantity
    """Mean of the soundings' own delay spreads."""
    delay_spread_s: Quantity | None
    """From fading over frequency, all soundings together."""
    doppler_hz: Quantity | None
    doppler_remark: str
    k_factor: Quantity | None
    """Linear."""
    k_factor_db: float | None
    """None also of K = 0."""
    independent: int
    """Soundings that fade independently."""
    fading: list[FadingFit]
    """Best first."""


class CampaignSummary(Struct, frozen=True, kw_only=True):
    """A whole campaign."""

    name: str
    driver: str
    sweeps: int
    """Planned."""
    sweeps_done: int
    interval_s: float
    soundings: int
    detected: int
    first_at: str | None
    last_at: str | None
    links: list[LinkSummary]
    """Those that were heard."""
    silent_links: list[str]
    path_loss: PathLossFit | None


def summarise(plan: CampaignPlan, soundings: Sequence[Sounding], grid: SoundingGrid) -> CampaignSummary:
    """Everything that is told in words and numbers."""
    found = [(link, link_series(link, soundings, grid)) for link in plan.links]
    return CampaignSummary(
        name=plan.name,
        driver=plan.experiment.radio.driver,
        sweeps=plan.sweeps,
        sweeps_done=len(soundings) // len(plan.links),
        interval_s=plan.campaign.interval_s,
        soundings=len(soundings),
        detected=sum(sounding.detected for sounding in soundings),
        first_at=soundings[0].taken_at if soundings else None,
        last_at=soundings[-1].taken_at if soundings else None,
        links=[link_summary(series, grid) for _, series in found if series is not None],
        silent_links=[str(link) for link, series in found if series is None],
        path_loss=path_loss(soundings),
    )


def link_summary(series: LinkSeries, grid: SoundingGrid) -> LinkSummary:
    """One link's figures."""
    estimates = [estimate_sounding(sounding, grid) for sounding in series.soundings]
    sinr = 10.0 ** (np.array([s.sinr_db for s in series.soundings]) / 10.0)
    still = series.still()
    k, cfo = k_factor(still), [e.cfo_hz for e in estimates]
    motion = doppler(still, k)
    return LinkSummary(
        transmitter=series.link.transmitter,
        receiver=series.link.receiver,
        soundings=len(series.soundings) + series.missed,
        detected=len(series.soundings),
        distance_m=series.soundings[0].distance_m,
        gain_db=_mean_gain_db(series),
        level_uncertainty_db=series.soundings[-1].level_uncertainty_db,
        gain_spread_db=float(np.std([s.mean_gain_db for s in series.soundings])),
        sinr_db=float(10.0 * np.log10(sinr.mean())),
        weakest_sinr_db=float(10.0 * np.log10(sinr.min())),
        cfo_hz=mean_of(cfo),
        cfo_spread_hz=float(np.std([q.value for q in cfo])),
        burst_delay_spread_s=mean_of([e.delay_spread_s for e in estimates]),
        delay_spread_s=fading_delay_spread(still, grid),
        doppler_hz=motion.doppler_hz,
        doppler_remark=motion.remark,
        k_factor=k,
        k_factor_db=10.0 * math.log10(k.value) if k is not None and k.value > 0.0 else None,
        independent=len(still.soundings) // still.block,
        fading=fading_fits(still),
    )


def _mean_gain_db(series: LinkSeries) -> Quantity:
    mean = with_uncertainty(series, lambda index: float(series.gain[index].mean()))
    if mean is None:  # too few to tell: all that fading can do to one sounding
        scatter = float(series.gain.std() / series.gain.mean()) if len(series.gain) > 1 else 1.0
        return Quantity(float(10.0 * np.log10(series.gain.mean())), DB_PER_NEPER * scatter)
    return Quantity(10.0 * math.log10(mean.value), DB_PER_NEPER * mean.uncertainty / mean.value)
