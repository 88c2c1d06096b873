"""The progress bar of everything that counts its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # rich takes a tenth of a second
    from rich.progress import Progress


def counting_bar(unit: str, stream: TextIO) -> Progress:
    """A bar of ``unit`` done and to do on a terminal; gone once it is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(complete_style="blue"), MofNCompleteColumn(), TextColumn(unit),
        TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(file=stream), transient=True)
