"""A comparison on a terminal: a column per method, in as many tables as its width asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from base_station.comparison.table import Cell, Comparison, MethodRow
from base_station.comparison.text import against_text, captions, headings, mean_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LONGEST_HEADING = 24
"""Methods with a longer name are numbered, all of them, and named below."""
_WIDTH_ELSEWHERE = 200
"""Columns of characters where nobody says how wide the output is."""
_UNBOUNDED = 100_000

CellText = Callable[[Cell], str]


def print_comparison(comparison: Comparison, stream: TextIO) -> None:
    """Means, differences and remarks, a line per measure."""
    from rich.console import Console

    console = Console(file=stream, width=None if stream.isatty() else _WIDTH_ELSEWHERE)
    labels = _labels([row.name for row in comparison.rows])
    compared = [row for row in comparison.rows if any(cell.against is not None for cell in row.cells)]
    means, against = captions(comparison)
    for rows, cell_text, caption in ((comparison.rows, mean_text, means), (compared, against_text, against)):
        if rows:
            _print_tables(console, rows, cell_text, labels)
            console.print(caption, style="italic", highlight=False, markup=False)
    if not compared and len(comparison.rows) > 1:
        console.print("No two methods have a seed in common: there is nothing to pair.", style="italic")
    for name, label in labels.items():
        if label != name:
            console.print(f"{label} {name}", highlight=False, markup=False)
    for remark in comparison.remarks:
        console.print(remark, highlight=False)


def _labels(names: Sequence[str]) -> dict[str, str]:
    """What stands over each method's column."""
    if all(len(name) <= LONGEST_HEADING for name in names):
        return {name: name for name in names}
    return {name: f"({number})" for number, name in enumerate(names, 1)}


def _print_tables(console: Console, rows: Sequence[MethodRow], cell_text: CellText, labels: Mapping[str, str]) -> None:
    """Halves, where the whole is too wide: a wrapped cell cannot be read."""
    table = _table(rows, cell_text, labels)
    unbounded = console.options.update(width=_UNBOUNDED)
    if len(rows) > 1 and console.measure(table, options=unbounded).maximum > console.width:
        half = (len(rows) + 1) // 2
        _print_tables(console, rows[:half], cell_text, labels)
        _print_tables(console, rows[half:], cell_text, labels)
    else:
        console.print(table)


def _table(rows: Sequence[MethodRow], cell_text: CellText, labels: Mapping[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("")
    for row in rows:
        iq = all(run.iq for run in row.runs)
        table.add_column(Text(labels[row.name] + ("" if iq else "\nno IQ")), justify="right")
    for index, heading in enumerate(headings(rows)):
        table.add_row(heading, *(Text(cell_text(row.cells[index])) for row in rows))
    table.add_row("Runs", *(str(len(row.runs)) for row in rows))
    return table
