"""Progress of a campaign: a bar on a terminal, a line per sweep elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, TextIO

from calibration.campaign.plan import CampaignPlan
from calibration.campaign.records import Sounding
from deploy.bars import counting_bar


class CampaignProgress(Protocol):
    """What is told while links are sounded."""

    def sounded(self, sounding: Sounding) -> None:
        """One more is on the disk."""

    def warn(self, text: str) -> None:
        """What a radio said."""


def open_campaign_progress(plan: CampaignPlan, done: int, stream: TextIO) -> AbstractContextManager[CampaignProgress]:
    """The display that fits ``stream``; ``done`` soundings were made before."""
    return _Bar(plan, done, stream) if stream.isatty() else _Lines(plan, done, stream)


class _Lines(AbstractContextManager[CampaignProgress]):
    def __init__(self, plan: CampaignPlan, done: int, stream: TextIO) -> None:
        self._plan, self._stream = plan, stream
        self._sweep: list[Sounding] = []
        if done:
            print(f"going on after {done} soundings", file=stream, flush=True)

    def __enter__(self) -> CampaignProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

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


class _Bar(AbstractContextManager[CampaignProgress]):
    def __init__(self, plan: CampaignPlan, done: int, stream: TextIO) -> None:
        self._progress = counting_bar("soundings", stream)
        self._task = self._progress.add_task(plan.name, total=plan.sweeps * len(plan.links), completed=done)

    def __enter__(self) -> CampaignProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def sounded(self, sounding: Sounding) -> None:
        """One step of the bar, named for what was heard last."""
        level = f"{sounding.mean_gain_db:.1f} dB" if sounding.detected else "not heard"
        self._progress.update(self._task, advance=1, description=f"{sounding.link} {level}")

    def warn(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(f"warning: {text}", highlight=False, markup=False)
