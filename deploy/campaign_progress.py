"""Progress of a campaign: a bar on a terminal, a line per sweep elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from calibration.campaign.plan import CampaignPlan
from calibration.campaign.records import Sounding
from deploy.bars import counting_bar

if TYPE_CHECKING:
    from rich.progress import Progress


class CampaignProgress(Protocol):
    """What is told while links are sounded."""

    def sounded(self, sounding: Sounding) -> None:
        """One more is on the disk."""

    def warn(self, text: str) -> None:
        """What a radio said."""


@contextmanager
def open_campaign_progress(plan: CampaignPlan, done: int, stream: TextIO) -> Iterator[CampaignProgress]:
    """The display that fits ``stream``; ``done`` soundings were made before."""
    if not stream.isatty():
        yield _Lines(plan, done, stream)
        return
    with counting_bar("soundings", stream) as bar:
        yield _Bar(bar, plan, done)


class _Lines:
    def __init__(self, plan: CampaignPlan, done: int, stream: TextIO) -> None:
        self._plan, self._stream = plan, stream
        self._sweep: list[Sounding] = []
        if done:
            print(f"going on after {done} soundings", file=stream, flush=True)

    def sounded(self, sounding: Sounding) -> None:
        """A sweep that is complete is worth a line."""
        self._sweep = [s for s in self._sweep if s.sweep == sounding.sweep] + [sounding]
        if sounding.link == self._plan.links[-1]:
            heard = sum(s.detected for s in self._sweep)
            text = f"sweep {sounding.sweep} of {self._plan.sweeps}: {heard} of {len(self._sweep)} soundings heard"
            print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """A line of its own."""
        print(f"warning: {text}", file=self._stream, flush=True)


class _Bar:
    def __init__(self, bar: Progress, plan: CampaignPlan, done: int) -> None:
        self._bar = bar
        self._task = bar.add_task(plan.name, total=plan.sweeps * len(plan.links), completed=done)

    def sounded(self, sounding: Sounding) -> None:
        """One step of the bar, named for what was heard last."""
        level = f"{sounding.mean_gain_db:.1f} dB" if sounding.detected else "not heard"
        self._bar.update(self._task, advance=1, description=f"{sounding.link} {level}")

    def warn(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(f"warning: {text}", highlight=False, markup=False)
