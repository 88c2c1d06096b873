"""The medium file: what lies between virtual Plutos, and what each of them is like (docs/virtual-pluto.md).

TOML, checked against these tables; unknown keys are rejected by naming the nearest valid one.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from protocol.errors import ConfigurationError
from protocol.experiment_file import read_toml
from radio.channel.fading import FadingModel
from radio.virtual.settings import NOMINAL_CRYSTAL_HZ

Decibel = Annotated[float, Meta(ge=-200.0, le=300.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Ppm = Annotated[float, Meta(ge=-200.0, le=200.0)]
GainErrors = Annotated[list[Annotated[list[Decibel], Meta(min_length=2, max_length=2)]], Meta(max_length=64)]
RadioName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$")]
LONGEST_DELAY_S = 1e-3
"""Longest ``delay_s`` of a path: 300 km."""


class _Table(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Base of every table: frozen, keys known."""


class MediumTable(_Table, frozen=True, kw_only=True):
    """``[medium]``: the default of every path between two radios."""

    seed: Annotated[int, Meta(ge=0, lt=2**53)] = 1
    """Of everything random: fades, noise, crystals, phases."""
    loss_db: Decibel = 60.0
    """Path loss between two radios that have neither a link nor positions of their own."""
    leakage_db: Decibel = 45.0
    """Loss from a radio's transmitter into its own receiver."""
    path_loss_1m_db: Decibel = 40.0
    """Log-distance law, for radios with positions and links with a distance: loss at 1 m."""
    path_loss_exponent: Positive = 2.0
    model: str = "awgn"
    """``awgn`` (no fading), ``rayleigh``, ``rician``, ``tdl-a``, ``tdl-b`` or ``tdl-c``."""
    delay_spread_s: NonNegative = 300e-9
    rician_k_db: Decibel = 10.0
    doppler_hz: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.0
    """0: a fade stays as it was drawn."""
    crystal_ppm: Annotated[float, Meta(ge=0.0, le=100.0)] = 20.0
    """Crystals of radios without one of their own are uniform within plus and minus this."""


class LinkTable(_Table, frozen=True, kw_only=True):
    """``[[link]]``: the path between two radios, the same in both directions; keys left out are those of [medium]."""

    between: Annotated[list[RadioName], Meta(min_length=2, max_length=2)]
    loss_db: Decibel | None = None
    distance_m: Positive | None = None
    """Instead of ``loss_db``: by the log-distance law."""
    delay_s: Annotated[float, Meta(ge=0.0, le=LONGEST_DELAY_S)] = 0.0
    """Time of flight; a distance does not set it."""
    model: str | None = None
    delay_spread_s: NonNegative | None = None
    rician_k_db: Decibel | None = None
    doppler_hz: Annotated[float, Meta(ge=0.0, le=1000.0)] | None = None


class RadioTable(_Table, frozen=True, kw_only=True):
    """``[[radio]]``: one Pluto."""

    name: RadioName
    serial: Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{1,64}$")] | None = None
    """Default: made from the name."""
    firmware: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{1,32}$")] = "v0.38"
    chip: Literal["ad9363a", "ad9364"] = "ad9363a"
    """What the firmware takes the transceiver for; it sets the range of carrier frequencies."""
    crystal_ppm: Ppm | None = None
    """True crystal over 40 MHz, at ``temperature_c``. Default: drawn within ``medium.crystal_ppm``."""
    crystal_ppm_per_c: Annotated[float, Meta(ge=-10.0, le=10.0)] = 0.0
    xo_correction_hz: Annotated[int, Meta(ge=39_980_000, le=40_020_000)] = NOMINAL_CRYSTAL_HZ
    """Value of ``xo_correction`` after power-up."""
    temperature_c: Annotated[float, Meta(ge=-40.0, le=110.0)] = 37.0
    """Of the transceiver once it is warm."""
    warm_up_c: Annotated[float, Meta(ge=0.0, le=80.0)] = 0.0
    """How much colder it is when the server starts."""
    warm_up_s: Positive = 120.0
    """Time constant of warming up."""
    noise_figure_db: Annotated[float, Meta(ge=0.0, le=60.0)] = 4.0
    transmit_full_scale_dbm: Decibel = 7.0
    """Power of digital full scale at the antenna, transmit gain 0 dB."""
    receive_full_scale_dbm: Decibel = 0.0
    """Power at the antenna that is digital full scale at receive gain 0 dB."""
    transmit_gain_errors_db: GainErrors = []
    """Pairs of a gain setting and how far the true gain is from it; straight lines between them."""
    receive_gain_errors_db: GainErrors = []
    transmit_image_db: Decibel = -45.0
    """Mirror image over the signal sent."""
    lo_leakage_dbm: Decibel = -40.0
    """Carrier that leaks at transmit gain 0 dB; it falls with the gain."""
    receive_image_db: Decibel = -45.0
    """Mirror image over everything received; 20 dB more with quadrature tracking off."""
    receive_dc_dbfs: Decibel = -50.0
    """The receiver's DC offset; 20 dB more with baseband DC tracking off."""
    position_m: Annotated[list[float], Meta(min_length=2, max_length=3)] | None = None
    """Two or three coordinates; the loss between radios with positions follows the log-distance law."""


class MediumFile(_Table, frozen=True, kw_only=True):
    """A whole medium file."""

    medium: MediumTable = field(default_factory=MediumTable)
    radio: list[RadioTable] = []
    link: list[LinkTable] = []

    def radio_of(self, name: str) -> RadioTable:
        """The table of a radio; all defaults if there is none."""
        return next((table for table in self.radio if table.name == name), RadioTable(name=name))

    def link_of(self, first: str, second: str) -> LinkTable:
        """The table of the path between two radios; all defaults if there is none."""
        pair = {first, second}
        return next((t for t in self.link if set(t.between) == pair), LinkTable(between=[first, second]))


_TABLES: dict[str, type[_Table]] = {"medium": MediumTable, "radio": RadioTable, "link": LinkTable}


def load_medium(path: Path, names: Sequence[str]) -> MediumFile:
    """Read and check a medium file for the radios ``names``. Raises ConfigurationError with file and key."""
    return medium_of(read_toml(path), names, str(path))


def medium_of(raw: dict[str, Any], names: Sequence[str], origin: str) -> MediumFile:
    """Check the content of a medium file; ``origin`` names it in errors. Raises ConfigurationError."""
    _reject_unknown_keys(raw, origin)
    try:
        medium = msgspec.convert(raw, MediumFile)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        raise ConfigurationError(f"{origin}: {place.rstrip('`')}: {text}") from error
    _check_names(medium, names, origin)
    for link in (LinkTable(between=["", ""]), *medium.link):
        _check_link(medium, link, origin)
    for radio in medium.radio:
        _check_gain_errors(radio, origin)
    for table in (medium.medium, *medium.radio, *medium.link):
        _check_finite(table, origin)
    return medium


def fading_of(medium: MediumTable, link: LinkTable) -> FadingModel:
    """What the fades of a path are drawn from. Raises ConfigurationError."""
    return FadingModel(
        medium.model if link.model is None else link.model,
        medium.delay_spread_s if link.delay_spread_s is None else link.delay_spread_s,
        medium.rician_k_db if link.rician_k_db is None else link.rician_k_db,
    )


def loss_db_between(medium: MediumFile, first: str, second: str) -> float:
    """Path loss between two different radios: the link's own, by distance, or ``medium.loss_db``."""
    link = medium.link_of(first, second)
    if link.loss_db is not None:
        return link.loss_db
    places = medium.radio_of(first).position_m, medium.radio_of(second).position_m
    distance_m = link.distance_m
    if distance_m is None and places[0] is not None and places[1] is not None:
        distance_m = math.dist([*places[0], 0.0][:3], [*places[1], 0.0][:3])
    if distance_m is None:
        return medium.medium.loss_db
    reach = math.log10(max(distance_m, 0.1))
    return medium.medium.path_loss_1m_db + 10.0 * medium.medium.path_loss_exponent * reach


def _reject_unknown_keys(raw: dict[str, Any], origin: str) -> None:
    for name, tables in raw.items():
        if name not in _TABLES:
            near = _near(name, _TABLES)
            raise ConfigurationError(f"{origin}: unknown table '{name}'; the nearest valid one is '{near}'")
        known = [f.name for f in msgspec.structs.fields(_TABLES[name])]
        for table in tables if isinstance(tables, list) else [tables]:
            for key in table if isinstance(table, dict) else ():
                if key not in known:
                    raise ConfigurationError(
                        f"{origin}: unknown key '{name}.{key}'; the nearest valid one is '{_near(key, known)}'"
                    )


def _near(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    nearest: str = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return nearest


def _check_names(medium: MediumFile, names: Sequence[str], origin: str) -> None:
    named = [table.name for table in medium.radio]
    for name in [*named, *(name for link in medium.link for name in link.between)]:
        if name not in names:
            raise ConfigurationError(f"{origin}: there is no radio '{name}'; the nearest is '{_near(name, names)}'")
    for name in named:
        if named.count(name) > 1:
            raise ConfigurationError(f"{origin}: two [[radio]] tables are called '{name}'")
    pairs = [frozenset(link.between) for link in medium.link]
    for pair, link in zip(pairs, medium.link, strict=True):
        where = f"{origin}: link between '{link.between[0]}' and '{link.between[1]}'"
        if len(pair) == 1:
            raise ConfigurationError(f"{where}: a radio's path to itself is medium.leakage_db")
        if pairs.count(pair) > 1:
            raise ConfigurationError(f"{where}: is there twice; a link holds for both directions")
        if link.loss_db is not None and link.distance_m is not None:
            raise ConfigurationError(f"{where}: needs loss_db or distance_m, not both")


def _check_link(medium: MediumFile, link: LinkTable, origin: str) -> None:
    where = f"link between '{link.between[0]}' and '{link.between[1]}'" if link.between[0] else "medium"
    try:
        fading_of(medium.medium, link)
    except ConfigurationError as error:
        raise ConfigurationError(f"{origin}: {where}: {error}") from error


def _check_gain_errors(radio: RadioTable, origin: str) -> None:
    for key in ("transmit_gain_errors_db", "receive_gain_errors_db"):
        settings = [pair[0] for pair in getattr(radio, key)]
        if any(not a < b for a, b in itertools.pairwise(settings)):
            raise ConfigurationError(f"{origin}: radio '{radio.name}': {key}: settings must rise from pair to pair")


def _check_finite(table: _Table, origin: str) -> None:
    """TOML has ``nan`` and ``inf``; range limits let NaN through."""
    for key in table.__struct_fields__:
        value = getattr(table, key)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigurationError(f"{origin}: {key}: {number} is not a number to compute with")
