"""What a campaign measures: an experiment's radios, which links, how often, for how long, and who stands where."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from protocol.configuration import Experiment, Name, Positive
from protocol.errors import ConfigurationError
from protocol.experiment_file import (
    asks_for_plan,
    experiment_from_dict,
    experiment_tables,
    reject_unknown_keys,
)
from radio.channel.draws import BASE_STATION

MOST_SWEEPS = 1_000_000
"""Rounds of a window are counted up to here."""
MOST_LINKS = 4096
WINDOWS_PER_SOUNDING = 8
"""Window indices kept free for one link of a sweep: silence, first contact, tries."""
Coordinates = Annotated[list[float], Meta(min_length=2, max_length=3)]


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """``[campaign.origin]``: where on Earth position 0, 0, 0 is (WGS 84)."""

    latitude_deg: Annotated[float, Meta(ge=-90.0, le=90.0)]
    longitude_deg: Annotated[float, Meta(ge=-180.0, le=180.0)]
    altitude_m: float = 0.0


class Stop(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[campaign.stops]]``: from when on a radio is where."""

    radio: Name
    position_m: Coordinates
    """East, north and, if given, up, from the origin."""
    from_s: Annotated[float, Meta(ge=0.0)] = 0.0
    note: Annotated[str, Meta(max_length=200)] = ""


class CampaignTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[campaign]``: the table that makes a campaign of an experiment file."""

    name: Name | None = None
    """Default: the experiment's."""
    links: Literal["to-base-station", "every-pair"] = "to-base-station"
    interval_s: Positive = 10.0
    """From the start of a sweep over all links to that of the next."""
    duration_s: Positive = 300.0
    notes: Annotated[str, Meta(max_length=2000)] = ""
    origin: Origin | None = None
    stops: Annotated[list[Stop], Meta(max_length=10_000)] = field(default_factory=list)


class Link(Struct, frozen=True):
    """One direction between two radios."""

    transmitter: str
    receiver: str

    def __str__(self) -> str:
        return f"{self.transmitter} > {self.receiver}"


class CampaignPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """A checked campaign."""

    campaign: CampaignTable
    experiment: Experiment

    @property
    def name(self) -> str:
        """Of the campaign."""
        return self.campaign.name or self.experiment.experiment.name

    @property
    def sweeps(self) -> int:
        """How often every link is sounded; the first sweep is number 1."""
        return max(1, math.floor(self.campaign.duration_s / self.campaign.interval_s + 1e-9))

    @property
    def radios(self) -> list[str]:
        """All radios, the base station first."""
        return [BASE_STATION, *(member.name for member in self.experiment.clients.members)]

    @property
    def links(self) -> list[Link]:
        """What a sweep sounds, in order: receiver by receiver."""
        receivers = self.radios if self.campaign.links == "every-pair" else [BASE_STATION]
        return [Link(t, r) for r in receivers for t in self.radios if t != r]

    def nominal_s(self, sweep: int) -> float:
        """When a sweep is due, counted from the campaign's start, s."""
        return (sweep - 1) * self.campaign.interval_s

    def stop(self, radio: str, time_s: float) -> Stop | None:
        """Where ``radio`` is at ``time_s``; None if nobody said. An experiment's distance counts as a place east."""
        stops = [stop for stop in self.campaign.stops if stop.radio == radio and stop.from_s <= time_s]
        if stops:
            return max(stops, key=lambda stop: stop.from_s)
        if radio == BASE_STATION:
            return Stop(radio, [0.0, 0.0, 0.0])
        distance_m = self.experiment.member(radio).distance_m
        return Stop(radio, [distance_m, 0.0, 0.0]) if distance_m is not None else None

    def distance_m(self, link: Link, time_s: float) -> float | None:
        """Between the two radios of a link; None if one of them has no place."""
        ends = [self.stop(name, time_s) for name in (link.transmitter, link.receiver)]
        if ends[0] is None or ends[1] is None:
            return None
        return math.dist(_three(ends[0].position_m), _three(ends[1].position_m))


def load_plan(path: Path, overrides: list[str]) -> CampaignPlan:
    """Read an experiment file, with or without a ``[campaign]`` table; ``overrides`` are ``table.key=value``.

    Raises ConfigurationError with the file and the key.
    """
    tables = experiment_tables(path, overrides)
    if asks_for_plan(tables):  # nothing is trained
        del tables["model"]["lora_rank"]
    campaign = tables.pop("campaign", {})
    reject_unknown_keys(campaign, CampaignTable, str(path), "campaign")
    try:
        table = msgspec.convert(campaign, CampaignTable)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        raise ConfigurationError(f"{path}: campaign{place.rstrip('`')}: {text}") from error
    plan = CampaignPlan(table, experiment_from_dict(tables, str(path)))
    check_plan(plan, str(path))
    return plan


def check_plan(plan: CampaignPlan, origin: str) -> None:
    """Raise ConfigurationError, naming ``origin``, if the campaign cannot be."""
    for stop in plan.campaign.stops:
        if stop.radio not in plan.radios:
            known = ", ".join(plan.radios)
            raise ConfigurationError(f"{origin}: campaign.stops: no radio '{stop.radio}'; there are: {known}")
        if not all(math.isfinite(x) for x in stop.position_m):
            raise ConfigurationError(f"{origin}: campaign.stops: position of '{stop.radio}' is not a number")
    if plan.experiment.radio.driver == "abstract" and plan.experiment.radio.keeps_iq:
        raise ConfigurationError(f'{origin}: radio.driver = "abstract" has no samples to record; use "simulated"')
    if plan.sweeps > MOST_SWEEPS or len(plan.links) > MOST_LINKS:
        raise ConfigurationError(
            f"{origin}: campaign: {plan.sweeps} sweeps over {len(plan.links)} links; "
            f"at most {MOST_SWEEPS} and {MOST_LINKS}"
        )
    if plan.experiment.radio.driver in SIMULATED and plan.campaign.links == "every-pair":
        placeless = [name for name in plan.radios if plan.stop(name, 0.0) is None]
        if placeless:
            raise ConfigurationError(
                f'{origin}: campaign.links = "every-pair" in simulation: where is {placeless[0]}? Give it a '
                "distance_m or a [[campaign.stops]]"
            )


SIMULATED = ("simulated", "abstract")
"""Drivers whose time is counted, not waited for."""


def _three(position_m: list[float]) -> list[float]:
    return [*position_m, 0.0][:3]


def plan_from_json(content: bytes, origin: str) -> CampaignPlan:
    """A plan as a campaign's directory keeps it. Raises ConfigurationError."""
    try:
        return msgspec.json.decode(content, type=CampaignPlan)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{origin}: not a campaign of this version: {error}") from error


def plan_to_json(plan: CampaignPlan) -> bytes:
    """What ``plan_from_json`` reads."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n"


def plan_dict(plan: CampaignPlan) -> dict[str, Any]:
    """The ``[campaign]`` table with every default filled in."""
    table: dict[str, Any] = msgspec.to_builtins(plan.campaign)
    return {**table, "name": plan.name}
