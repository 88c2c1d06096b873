"""CPU time by stage: functions of the modem are wrapped, and a stage's time is its own, without inner stages."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


class StageClock:
    """Seconds of process CPU time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time counts for ``stage``."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return function(*args, **kwargs)

        return timed

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside counts for ``name``, not for the stage around."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def _book(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


@contextmanager
def timed_stages(functions: Mapping[str, str]) -> Iterator[StageClock]:
    """A clock that runs while the ``functions`` ("module.name": stage) do."""
    clock = StageClock()
    with ExitStack() as patches:
        for path, stage in functions.items():
            module, name = path.rsplit(".", 1)
            original = getattr(importlib.import_module(module), name)
            patches.enter_context(mock.patch(path, clock.wrap(stage, original)))
        yield clock
