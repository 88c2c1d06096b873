"""A sweep file: methods and a grid of keys over one experiment, and the seeds."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from protocol.configuration import Name
from protocol.errors import ConfigurationError
from protocol.experiment_file import read_toml, readable

Seed = Annotated[int, Meta(ge=0, lt=2**53)]
Settings = dict[str, Any]
"""Values by ``table.key``, as ``--set`` takes them."""


class SweepTable(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """``[sweep]``: what is swept."""

    name: Name
    base: str
    """The experiment file, relative to the sweep file."""
    seeds: Annotated[list[Seed], Meta(min_length=1)] = field(default_factory=lambda: [1])
    reference: str | None = None
    """Method the others are compared with; default: the first."""
    target_accuracy: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    """Validation accuracy whose rounds and airtime are reported; default: the reference's last, less a point."""
    equal_airtime_s: Annotated[float, Meta(gt=0.0)] | None = None
    """Airtime at which accuracies are compared; default: the least that any run took."""


class MethodTable(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """``[[methods]]``: a named group of settings."""

    name: Name
    set: Settings = field(default_factory=dict)


class Sweep(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A whole sweep: every method with every combination of the grid, under every seed."""

    sweep: SweepTable
    methods: list[MethodTable] = field(default_factory=list)
    grid: dict[str, Annotated[list[Any], Meta(min_length=1)]] = field(default_factory=dict)

    def settings(self) -> Iterator[tuple[str, Settings]]:
        """Label and settings of every column of the comparison; keys with one value are not in the label."""
        for method in self.methods or [MethodTable(name=self.sweep.name)]:
            for values in product(*self.grid.values()):
                chosen = dict(zip(self.grid, values, strict=True))
                varied = [key for key, values in self.grid.items() if len(values) > 1]
                label = ", ".join(f"{key.rpartition('.')[2]} {chosen[key]}" for key in varied)
                named = method.name if self.methods or not label else ""
                yield " ".join(filter(None, [named, label])), {**method.set, **chosen}


def is_sweep(raw: dict[str, Any]) -> bool:
    """Whether a TOML document describes a sweep and not an experiment."""
    return "sweep" in raw


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep file; the keys it sets are checked with the experiment. Raises ConfigurationError."""
    raw = read_toml(path)
    tables: dict[str, Any] = {"sweep": SweepTable, "methods": MethodTable}
    _reject_unknown(raw, Sweep, str(path))
    for name, kind in tables.items():
        entries = raw.get(name, {})
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict):
                _reject_unknown(entry, kind, f"{path}: [{name}]")
    _check_lists(raw.get("grid"), f"{path}: grid")
    try:
        sweep = msgspec.convert(raw, Sweep)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {readable(str(error))}") from error
    _check(sweep, str(path))
    return sweep


def _check_lists(grid: Any, origin: str) -> None:
    for key, values in grid.items() if isinstance(grid, dict) else ():
        if not isinstance(values, list):
            raise ConfigurationError(f"{origin}: {key}: expected a list of values, as in [{values!r}]")


def _check(sweep: Sweep, origin: str) -> None:
    names = [label for label, _ in sweep.settings()]
    twice = next((label for label in names if names.count(label) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"{origin}: two methods are called '{twice}'")
    both = next(((m.name, key) for m in sweep.methods for key in m.set if key in sweep.grid), None)
    if both is not None:
        raise ConfigurationError(
            f"{origin}: methods: '{both[0]}' sets {both[1]}, which the grid sets already; drop one"
        )
    if len(set(sweep.sweep.seeds)) < len(sweep.sweep.seeds):
        raise ConfigurationError(f"{origin}: sweep.seeds: a seed is listed twice")


def _reject_unknown(raw: dict[str, Any], kind: type[Struct], origin: str) -> None:
    known = [f.name for f in msgspec.structs.fields(kind)]
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigurationError(f"{origin}: unknown key '{key}'; the nearest valid one is '{near}'")
