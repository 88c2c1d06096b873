"""Figures as inline SVG that takes its text and grid colours from the page, so one drawing serves light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
"""Stand-ins that become CSS variables of the page; no client has these colours."""
ACCENT = "#0072b2"
FULL_WIDTH_IN = 11.0

_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--card)"}
_FONTS = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_PRINT_INKS = {INK: "#172033", MUTED: "#5b6579", GRID: "#e3e7ee", PAPER: "#ffffff"}
_PRINT_DPI = 110
_STYLE = {
    "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 8, "axes.labelsize": 9,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.edgecolor": GRID,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.8, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": "none",
    "legend.frameon": False, "legend.fontsize": 8.5, "xtick.major.size": 0, "ytick.major.size": 0,
    "lines.linewidth": 1.8, "lines.markersize": 4.5, "hatch.linewidth": 0.6,
}  # fmt: skip


@dataclass(frozen=True)
class DataTable:
    """The numbers behind a figure; written as ``report_data/<name>.csv``."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Picture:
    """A figure of the report. ``title`` states what is shown, ``caption`` how to read it."""

    name: str
    title: str
    caption: str
    svg: str
    tables: Sequence[DataTable] = field(default_factory=tuple)
    per_client: bool = False
    """Whether the key of the clients' colours belongs under it."""


def report_style() -> AbstractContextManager[None]:
    """Fonts, colours and lines of the report, for every drawing made inside."""
    style: AbstractContextManager[None] = rc_context(_STYLE)
    return style


def print_style() -> AbstractContextManager[None]:
    """The same in the colours of a light page, for drawings that end as PNG."""
    inked = {key: _PRINT_INKS.get(value, value) if isinstance(value, str) else value for key, value in _STYLE.items()}
    style: AbstractContextManager[None] = rc_context({**inked, "figure.facecolor": _PRINT_INKS[PAPER]})
    return style


class Canvas:
    """A drawing as wide as the page, with a grid of axes. Made, drawn on and ended inside one of the styles."""

    def __init__(self, height_in: float, rows: int = 1, columns: int = 1, **grid: Any) -> None:
        self._figure: Any = Figure(figsize=(FULL_WIDTH_IN, height_in), layout="constrained")
        self._figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        self.axes: list[Any] = list(self._figure.subplots(rows, columns, squeeze=False, **grid).flat)

    def title(self, text: str) -> None:
        """A heading over all axes."""
        self._figure.suptitle(text, x=0.01, ha="left", fontweight="bold")

    def colour_bar(self, mesh: Any, axes: Any, label: str) -> None:
        """Scale of a heat map's colours, right of ``axes``."""
        bar = self._figure.colorbar(mesh, ax=axes, label=label, pad=0.01, aspect=30)
        bar.outline.set_visible(False)
        bar.ax.ticklabel_format(useOffset=False)

    def png(self) -> bytes:
        """The drawing as a PNG file; for ``print_style()``."""
        image = io.BytesIO()
        self._figure.set_dpi(_PRINT_DPI)
        FigureCanvasAgg(self._figure).print_png(image)
        return image.getvalue()

    def svg(self, name: str, description: str) -> str:
        """The drawing as an ``<svg>`` element named for screen readers; ids are unique to ``name``."""
        text = io.StringIO()
        with rc_context({"svg.hashsalt": name}):
            FigureCanvasSVG(self._figure).print_svg(text, metadata={"Date": None})
        return _inline(text.getvalue(), description)


def integer_ticks(axis: Any, bins: int = 8) -> None:
    """Ticks at whole numbers only (rounds, RBs)."""
    axis.set_major_locator(MaxNLocator(nbins=bins, integer=True, min_n_ticks=1))


def _inline(document: str, description: str) -> str:
    """Strip what a page does not need: prolog, metadata, namespaces, ids nobody refers to, fixed sizes."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    referred = set(re.findall(r"#([^\"')]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in referred else "", svg)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    opening = re.search(r'viewBox="([^"]*)"', svg)
    assert opening is not None
    svg = svg[svg.index(">") + 1 :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = svg.replace("'DejaVu Sans'", _FONTS).replace("xlink:href", "href")
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<svg viewBox="{opening[1]}" role="img" aria-label="{label}">{svg}'
