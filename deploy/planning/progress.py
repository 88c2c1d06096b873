"""Progress of the pilot: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def open_bar(title: str, unit: str, total: int, stream: TextIO) -> Iterator[Callable[[], None]]:
    """What is called once per ``unit`` done."""
    if not stream.isatty():
        print(f"{title}: {total} {unit}", file=stream, flush=True)
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(complete_style="blue"), MofNCompleteColumn(), TextColumn(unit),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
