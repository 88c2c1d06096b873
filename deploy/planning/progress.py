"""Progress of the pilot: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from deploy.bars import counting_bar


@contextmanager
def open_bar(title: str, unit: str, total: int, stream: TextIO) -> Iterator[Callable[[], None]]:
    """What is called once per ``unit`` done."""
    if not stream.isatty():
        print(f"{title}: {total} {unit}", file=stream, flush=True)
        yield lambda: None
        return
    with counting_bar(unit, stream) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
