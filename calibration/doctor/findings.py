"""What a check says: a small object with the measured value, why it matters, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from protocol.errors import AirtuneError

Verdict = Literal["pass", "skip", "warn", "fail"]
SEVERITY: tuple[Verdict, ...] = ("pass", "skip", "warn", "fail")
"""From best to worst; what could not be checked does not count against anything."""

UNSEEN_MEND = "power it off and on; where samples were lost, another USB port or a lower radio.sample_rate_hz"
"""What helps where a Pluto did not let itself be measured."""

Subject = TypeVar("Subject")


class Finding(Struct, frozen=True):
    """One check of one subject."""

    check: str
    subject: str
    """``host``, or the radio's name."""
    verdict: Verdict
    measured: str
    """In words and numbers."""
    why: str
    """Why it matters."""
    mend: str
    """What to do about it; empty if nothing has to be done."""
    value: float | None = None
    unit: str = ""


class Seen(Struct, frozen=True):
    """What looking at one thing came to."""

    verdict: Verdict
    measured: str
    value: float | None = None
    unit: str = ""
    mend: str | None = None
    """Instead of the check's own."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """A thing to look at."""

    name: str
    why: str
    mend: str
    """The command that mends it, or the step to take."""
    look: Callable[[Subject], Seen]
    mend_unseen: str | None = None
    """Instead of ``mend`` where looking itself failed, which then says nothing about the thing."""

    def examine(self, name: str, subject: Subject) -> Finding:
        """Look at ``subject``, called ``name``; an error of the tree is a failure, told in its own words."""
        try:
            seen = self.look(subject)
        except AirtuneError as error:
            seen = Seen("fail", str(error), mend=self.mend_unseen)
        mend = "" if seen.verdict in ("pass", "skip") else self.mend if seen.mend is None else seen.mend
        return Finding(self.name, name, seen.verdict, seen.measured, self.why, mend, seen.value, seen.unit)

    def skipped(self, name: str, reason: str) -> Finding:
        """It could not be looked at."""
        return Finding(self.name, name, "skip", reason, self.why, "")


def worst(findings: Sequence[Finding]) -> Verdict:
    """The worst verdict of all."""
    return max((finding.verdict for finding in findings), key=SEVERITY.index, default="pass")


def graded(value: float, warn_above: float, fail_above: float) -> Verdict:
    """A value that should be small."""
    return "fail" if value > fail_above else "warn" if value > warn_above else "pass"
