"""A campaign as one HTML page and as text for a terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import jinja2

from base_station.report.drawing import report_style
from base_station.report.tables import DASH, PrintedTable, number
from calibration.campaign.summary import CampaignSummary, LinkSummary
from deploy.campaign_figures import Drawn, campaign_pictures
from protocol.files import write_atomically
from radio.quantity import Quantity

PAGE = "campaign.html"
_LINK_COLUMNS = ("Link", "Heard", "Distance, m", "Gain, dB", "SINR, dB", "Worst RB, dB", "Delay spread, ns", "K, dB",
                 "Doppler, Hz", "Carrier offset, Hz", "Fades like", "p")  # fmt: skip
_FIT_COLUMNS = ("Link", "Distribution", "Parameters", "KS distance", "p", "AIC", "Independent soundings")


class _TitledTable(NamedTuple):
    title: str
    table: PrintedTable
    caption: str


def link_rows(summary: CampaignSummary) -> list[list[str]]:
    """A line per link that was heard."""
    return [_row(link) for link in summary.links]


def _row(link: LinkSummary) -> list[str]:
    fading = link.fading[0] if link.fading else None
    spread = link.delay_spread_s or link.burst_delay_spread_s
    return [
        f"{link.transmitter} > {link.receiver}", f"{link.detected} of {link.soundings}", number(link.distance_m, 1),
        _gain_text(link), number(link.sinr_db, 1), number(link.weakest_sinr_db, 1), str(spread.times(1e9)),
        _k_text(link), _text(link.doppler_hz), str(link.cfo_hz),
        fading.model if fading is not None else DASH, number(fading.p_value, 2) if fading is not None else DASH,
    ]  # fmt: skip


def _gain_text(link: LinkSummary) -> str:
    """With what calibration leaves open, where there was one."""
    level_db = link.level_uncertainty_db
    return str(link.gain_db) if level_db is None else f"{link.gain_db} (level ± {level_db:.2g})"


def _k_text(link: LinkSummary) -> str:
    """As text that says how sure it is: K's distribution is far from even in dB."""
    if link.k_factor is None:
        return DASH
    low, high = (max(link.k_factor.value + side * link.k_factor.uncertainty, 0.0) for side in (-1.0, 1.0))
    return f"{_decibels(link.k_factor.value)} ({_decibels(low)} to {_decibels(high)})"


def _decibels(ratio: float) -> str:
    return number(10.0 * math.log10(ratio), 1) if ratio > 0.0 else "−∞"


def _text(quantity: Quantity | None) -> str:
    return DASH if quantity is None else str(quantity)


def _fit_rows(summary: CampaignSummary) -> list[list[str]]:
    return [
        [f"{link.transmitter} > {link.receiver}", fit.model,
         ", ".join(f"{name} {value:.3g}" for name, value in fit.parameters.items()) or DASH,
         number(fit.distance, 3), number(fit.p_value, 2), number(fit.aic, 1), str(link.independent)]
        for link in summary.links for fit in link.fading
    ]  # fmt: skip


def lead(summary: CampaignSummary) -> str:
    """The campaign in one sentence."""
    text = (
        f"{summary.detected} of {summary.soundings} soundings heard in {summary.sweeps_done} of {summary.sweeps} "
        f"sweeps, planned {summary.interval_s:g} s apart, driver {summary.driver}"
    )
    return f"{text}; never heard: {', '.join(summary.silent_links)}" if summary.silent_links else text


def path_loss_sentence(summary: CampaignSummary) -> str:
    """The fitted law, or nothing."""
    fit = summary.path_loss
    if fit is None:
        return ""
    return (
        f"path loss: {fit.loss_1m_db} dB at 1 m, exponent {fit.exponent}, places {fit.shadowing_db:.2f} dB around it, "
        f"R² {fit.r_squared:.4f} ({len(fit.distance_m)} places)"
    )


def campaign_text(summary: CampaignSummary) -> str:
    """For a terminal."""
    rows = [list(_LINK_COLUMNS), *link_rows(summary)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_LINK_COLUMNS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    text = [f"{summary.name}: {lead(summary)}", *lines, path_loss_sentence(summary), *_doppler_remarks(summary)]
    return "\n".join(filter(None, text))


def _links_table(summary: CampaignSummary) -> _TitledTable:
    caption = (
        "Uncertainties are one standard deviation: of the mean over so many fades (gain), from soundings drawn again "
        f"in runs that are alike (delay spread, K), from leaving out stretches (Doppler). {path_loss_sentence(summary)}"
    )
    return _TitledTable("Links", PrintedTable(_LINK_COLUMNS, link_rows(summary), client_column=True), caption)


def _fading_table(summary: CampaignSummary) -> _TitledTable:
    caption = (
        "Best first by AIC. p: share of samples drawn from the fit that lie as far from it as what was measured does; "
        f"a small one speaks against the distribution. {' '.join(f'{text}.' for text in _doppler_remarks(summary))}"
    )
    return _TitledTable("Fading", PrintedTable(_FIT_COLUMNS, _fit_rows(summary), client_column=True), caption)


def _doppler_remarks(summary: CampaignSummary) -> list[str]:
    return [
        f"{link.transmitter} > {link.receiver}: no Doppler frequency: {link.doppler_remark}"
        for link in summary.links if link.doppler_hz is None
    ]  # fmt: skip


def write_campaign_page(path: Path, drawn: Drawn) -> Path:
    """Write the page. Raises StorageError."""
    summary = drawn.summary
    with report_style():
        pictures = campaign_pictures(drawn)
    tables = [_links_table(summary), _fading_table(summary)]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("base_station.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    text = environment.get_template("campaign.html.j2").render(
        title=f"Campaign {summary.name}", lead=lead(summary), pictures=pictures, colours=drawn.styles,
        tables=[table for table in tables if table.table.rows],
    )  # fmt: skip
    write_atomically(path, text.encode())
    return path
