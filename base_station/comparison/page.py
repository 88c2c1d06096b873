"""The comparison as one HTML page, figures inline."""

from __future__ import annotations

from pathlib import Path

import jinja2

from base_station.comparison.figures import closing_figure, curves_figure
from base_station.comparison.table import Comparison
from base_station.comparison.text import against_text, captions, headings, mean_text
from base_station.report.drawing import report_style
from base_station.report.palette import client_styles
from base_station.report.tables import PrintedTable
from protocol.files import write_atomically


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page. Raises StorageError."""
    styles = client_styles([row.name for row in comparison.rows])
    with report_style():
        pictures = [curves_figure(comparison, styles), closing_figure(comparison, styles)]
    means = PrintedTable(
        ["Method", "Runs", *headings(comparison.rows)],
        [[row.name, str(len(row.runs)), *map(mean_text, row.cells)] for row in comparison.rows],
        client_column=True,
    )
    others = [row for row in comparison.rows if row.name != comparison.reference]
    differences = PrintedTable(
        ["Method", *headings(comparison.rows)],
        [[row.name, *map(against_text, row.cells)] for row in others],
        client_column=True,
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("base_station.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    text = environment.get_template("comparison.html.j2").render(
        title=comparison.name,
        remarks=comparison.remarks,
        pictures=[picture for picture in pictures if picture is not None],
        tables=list(zip((means, differences) if others else (means,), captions(comparison), strict=False)),
        styles=styles,
        runs=[(row.name, run) for row in comparison.rows for run in row.runs],
    )
    write_atomically(path, text.encode())
    return path
