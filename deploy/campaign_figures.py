"""The plots of a campaign that a measurement paper needs, one colour per link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from base_station.report.drawing import ACCENT, INK, MUTED, Canvas, Picture
from base_station.report.palette import ClientStyle, client_styles
from calibration.campaign.delays import delay_profile
from calibration.campaign.estimates import SoundingGrid, estimate_sounding
from calibration.campaign.fading import fading_samples, fitted_distribution
from calibration.campaign.motion import fading_spectrum, model_spectrum, time_correlation
from calibration.campaign.path_loss import PathLossFit
from calibration.campaign.records import Sounding
from calibration.campaign.series import LinkSeries
from calibration.campaign.summary import CampaignSummary, LinkSummary

PROFILE_FLOOR_DB = -40.0
FEWEST_DRAWN = 2
MOST_NAMED = 12
"""Links in a legend at most."""

Array = NDArray[np.float64]


class DrawnLink(NamedTuple):
    """A link with its name and looks."""

    series: LinkSeries
    summary: LinkSummary
    name: str
    look: ClientStyle


class Drawn(NamedTuple):
    """What the plots are made of: series and summaries of the same links in the same order."""

    summary: CampaignSummary
    series: Sequence[LinkSeries]
    soundings: Sequence[Sounding]
    grid: SoundingGrid

    @property
    def names(self) -> list[str]:
        """Of the links."""
        return [str(series.link) for series in self.series]

    @property
    def styles(self) -> dict[str, ClientStyle]:
        """Looks by link."""
        return client_styles(self.names)

    @property
    def links(self) -> list[DrawnLink]:
        """In the order of ``series``."""
        parts = zip(self.series, self.summary.links, self.names, self.styles.values(), strict=True)
        return [DrawnLink(*part) for part in parts]


def campaign_pictures(drawn: Drawn) -> list[Picture]:
    """All plots; to be called inside ``report_style()``. None without a sounding heard."""
    if not drawn.series:
        return []
    pictures = [gain_over_time(drawn), _gain_over_place(drawn), _distributions(drawn), _delay(drawn), _motion(drawn)]
    return [picture for picture in pictures if picture is not None]


def gain_over_time(drawn: Drawn) -> Picture:
    """Gain and carrier offset of every sounding."""
    canvas = Canvas(5.0, 2, 1, sharex=True, height_ratios=(3, 2))
    gain, carrier = canvas.axes
    for series, _, name, look in drawn.links:
        gain_db = [s.mean_gain_db for s in series.soundings]
        gain.plot(series.time_s, gain_db, color=look.colour, linestyle=look.dash, linewidth=1.2, label=name)
        mean_hz = float(np.mean([s.cfo_hz for s in series.soundings]))
        offsets_hz = [s.cfo_hz - mean_hz for s in series.soundings]
        carrier.plot(series.time_s, offsets_hz, color=look.colour, linestyle=look.dash, linewidth=1.0)
    missed = sorted({s.time_s for s in drawn.soundings if not s.detected})
    if missed:
        bottom = gain.get_ylim()[0]
        gain.plot(missed, [bottom] * len(missed), "|", color=INK, label="a link not heard")
    gain.set(ylabel="channel gain, dB", title="Gain, mean over the band")
    carrier.set(xlabel="time, s", ylabel="Hz around its mean", title="Carrier offset")
    _legend(gain, len(drawn.names))
    return Picture(
        "gain", "Gain over time",
        "Every sounding at its time. Carrier offsets are of the transmitter's crystal over the receiver's.",
        canvas.svg("gain", "Channel gain and carrier offset of every link over time"),
    )  # fmt: skip


def _gain_over_place(drawn: Drawn) -> Picture | None:
    placed = [s for s in drawn.soundings if s.detected and s.distance_m]
    fit = drawn.summary.path_loss
    if len({s.distance_m for s in placed}) < FEWEST_DRAWN:
        return None
    canvas = Canvas(3.6, 1, 2)
    over_distance, plane = canvas.axes
    for series, _, _, look in drawn.links:
        own = [s for s in series.soundings if s.distance_m]
        distances, gains = [s.distance_m for s in own], [s.mean_gain_db for s in own]
        over_distance.plot(distances, gains, ".", color=look.colour, markersize=3, alpha=0.5)
    if fit is not None:
        _draw_fit(over_distance, fit)
    over_distance.set(xscale="log", xlabel="distance, m", ylabel="channel gain, dB", title="Gain over distance")
    _label_in_metres(over_distance.xaxis)
    _draw_places(canvas, plane, placed)
    caption = "Dots are soundings, circles means of places." if fit is not None else "Dots are soundings."
    if fit is not None:
        caption += (
            f" Line: {fit.loss_1m_db} dB at 1 m, exponent {fit.exponent}; places lie {fit.shadowing_db:.2f} dB around "
            f"it (standard deviation), R² = {fit.r_squared:.4f}."
        )
    return Picture("place", "Gain over place", caption, canvas.svg("place", "Gain over distance, and a map of gains"))


def _label_in_metres(axis: Any) -> None:
    """Plain numbers instead of powers of ten."""
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))


def _draw_fit(axes: Any, fit: PathLossFit) -> None:
    axes.plot(fit.distance_m, [-loss for loss in fit.loss_db], "o", markerfacecolor="none", color=INK)
    distance_m = np.geomspace(min(fit.distance_m), max(fit.distance_m), 50)
    axes.plot(distance_m, -fit.loss_1m_db.value - 10.0 * fit.exponent.value * np.log10(distance_m), color=INK)


def _draw_places(canvas: Canvas, axes: Any, placed: Sequence[Sounding]) -> None:
    """Where transmitters stood, coloured by mean gain, and where receivers did."""
    groups: dict[tuple[float, float], list[float]] = {}
    for sounding in placed:
        east, north = (sounding.transmitter_m or [0.0, 0.0])[:2]
        groups.setdefault((east, north), []).append(sounding.mean_gain)
    mean_db = [float(10.0 * np.log10(np.mean(gains))) for gains in groups.values()]
    east_m, north_m = [place[0] for place in groups], [place[1] for place in groups]
    dots = axes.scatter(east_m, north_m, c=mean_db, cmap="viridis", s=40)
    receivers = {tuple((s.receiver_m or [0.0, 0.0])[:2]) for s in placed}
    axes.plot([r[0] for r in receivers], [r[1] for r in receivers], "x", color=INK, markersize=7)
    axes.set(xlabel="east, m", ylabel="north, m", title="Mean gain by transmitter's place, dB (x: receivers)")
    canvas.colour_bar(dots, axes, "")


def _distributions(drawn: Drawn) -> Picture:
    canvas = Canvas(3.6, 1, 3)
    fading, sinr, spreads = canvas.axes
    for series, summary, name, look in drawn.links:
        power = np.sort(fading_samples(series.still()))
        fading.plot(10.0 * np.log10(power), _shares(power), color=look.colour, drawstyle="steps-post")
        if summary.fading:
            smooth = np.geomspace(max(power[0], 1e-4), power[-1], 80)
            share = fitted_distribution(summary.fading[0], smooth)
            fading.plot(10.0 * np.log10(smooth), share, color=look.colour, linestyle=":", linewidth=1.2)
        levels = np.sort(np.concatenate([s.sinr_db for s in series.soundings]))
        sinr.plot(levels, _shares(levels), color=look.colour, linestyle=look.dash, label=name)
        own_ns = np.sort([1e9 * estimate_sounding(s, drawn.grid).delay_spread_s.value for s in series.soundings])
        spreads.plot(own_ns, _shares(own_ns), color=look.colour, linestyle=look.dash)
    fading.set(xlabel="power over its mean, dB", ylabel="share at most", title="Fading of the middle RB")
    sinr.set(xlabel="SINR at full power, dB", title="SINR of all RBs")
    spreads.set(xlabel="delay spread, ns", title="Delay spread of single bursts")
    _legend(sinr, len(drawn.names))
    return Picture(
        "distributions", "How often what occurs",
        "Cumulative distributions. Fading: independent soundings (steps) and the distribution that fits best (dots); "
        "the table says how well.",
        canvas.svg("distributions", "Cumulative distributions of fading, SINR and delay spread"),
    )  # fmt: skip


def _delay(drawn: Drawn) -> Picture:
    canvas = Canvas(3.2)
    (axes,) = canvas.axes
    for series, _, name, look in drawn.links:
        delay_s, power = delay_profile(series, drawn.grid)
        level_db = 10.0 * np.log10(np.maximum(power, 10.0 ** (PROFILE_FLOOR_DB / 10.0)))
        axes.plot(1e6 * delay_s, level_db, color=look.colour, linestyle=look.dash, label=name)
    axes.set(xlabel="delay around the mean, µs", ylabel="dB below the largest", ylim=(PROFILE_FLOOR_DB, 2.0))
    _legend(axes, len(drawn.names))
    bandwidth_hz = drawn.grid.numerology.bandwidth_hz
    return Picture(
        "delay", "Power delay profile",
        f"Mean over all soundings, each around its own mean delay: bursts are not timed. In a band of "
        f"{bandwidth_hz / 1e6:.2f} MHz a single path is {2e6 / bandwidth_hz:.1f} µs wide (Hann window).",
        canvas.svg("delay", "Mean power delay profile of every link"),
    )  # fmt: skip


def _motion(drawn: Drawn) -> Picture | None:
    canvas = Canvas(3.4, 1, 2)
    correlation, spectrum = canvas.axes
    any_drawn = False
    for series, summary, name, look in drawn.links:
        still = series.still()
        frequency_hz, density = fading_spectrum(still)
        if not len(frequency_hz):
            continue
        any_drawn = True
        seen = time_correlation(still)
        correlation.plot(seen.lag_s, seen.values, color=look.colour, linestyle=look.dash, linewidth=1.2, label=name)
        spectrum.plot(frequency_hz[1:], density[1:], color=look.colour, linestyle=look.dash, linewidth=1.2)
        if summary.doppler_hz is not None:
            _draw_model(spectrum, frequency_hz[1:], density[1:], summary, look)
    if not any_drawn:
        return None
    correlation.axhline(0.0, color=MUTED, linewidth=0.8)
    correlation.set(xlabel="lag, s", ylabel="correlation of power", title="How long fading lasts")
    spectrum.set(xlabel="frequency, Hz", ylabel="1/Hz", yscale="log", title="Doppler spectrum of the power")
    _legend(correlation, len(drawn.names))
    return Picture(
        "motion", "How fast it changes",
        "From powers: two crystals leave no common phase from sounding to sounding. The spectrum of the power reaches "
        "to twice the Doppler frequency; dots: waves from all around at the fitted one.",
        canvas.svg("motion", "Correlation over time and Doppler spectrum of every link"),
    )  # fmt: skip


def _draw_model(axes: Any, frequency_hz: Array, density: Array, summary: LinkSummary, look: ClientStyle) -> None:
    assert summary.doppler_hz is not None
    variance = float(np.sum(density) * (frequency_hz[1] - frequency_hz[0]))
    model = model_spectrum(frequency_hz, summary.doppler_hz.value, variance)
    axes.plot(frequency_hz, np.maximum(model, float(density.min())), color=look.colour, linestyle=":", linewidth=1.2)
    axes.axvline(2.0 * summary.doppler_hz.value, color=ACCENT, linewidth=0.6)


def _shares(values: Array) -> Array:
    return np.asarray((np.arange(len(values)) + 1.0) / len(values))


def _legend(axes: Any, links: int) -> None:
    if links <= MOST_NAMED:
        axes.legend(loc="best")
