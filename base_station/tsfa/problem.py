"""The allocation problem of one round and its answer: structures, checks, and reading from JSON."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from protocol.curves import curve_fault
from protocol.errors import ConfigurationError

CurvePoint = tuple[int | float, float]
"""Bits of an update, and the energy that stays unsent when they are sent."""

LARGEST_NUMBER = 1e100
"""Inputs are refused above this, so that no product of V, weight and energy overflows."""

LARGEST_RB_TOTAL = 4096

LARGEST_PLACED_RB_TOTAL = 300
"""With ``rate_bps_at``: time and memory grow with the square of the band."""

_Checked = TypeVar("_Checked", bound=Struct)


class ClientInstance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One client that is ready to send."""

    name: str
    weight: float
    """Its share of all samples of the round."""
    queue_s: float = 0.0
    """Virtual latency queue, s (``per-client`` model)."""
    compute_s: float = 0.0
    """Time at which it could start to send, s."""
    overhead_s: float = 0.0
    """Time a burst costs besides its bits, s."""
    rate_bps: list[float] | None = None
    """``rate_bps[k-1]``: goodput with k RBs; at most ``len(rate_bps)`` RBs can be used. This or the next."""
    rate_bps_at: list[list[float]] | None = None
    """``rate_bps_at[k-1][start]``: goodput with k RBs from ``start`` on; 0 or missing: not usable."""
    curve: list[CurvePoint]
    """Error curve: the first point sends zero bits; bits ascend, energies do not rise."""


class Instance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known when the grants of a round are decided."""

    rb_total: int
    guard_rb: int
    """RBs left empty between two grants."""
    V: float
    """Weight of the error energy against the queues."""
    latency_model: Literal["per-client", "round"] = "per-client"
    queue_s: float = 0.0
    """The one queue of the ``round`` model, s."""
    deadline_s: float | None = None
    """No client that sends may have a larger latency, s."""
    clients: list[ClientInstance]

    @property
    def placed(self) -> bool:
        """Whether it matters to anybody where in the band a grant lies."""
        return any(client.rate_bps_at is not None for client in self.clients)


class ClientAllocation(Struct, frozen=True, kw_only=True):
    """What one client may send."""

    name: str
    rb_start: int
    rb_count: int
    bits: int | float
    energy: float
    latency_s: float


class Allocation(Struct, frozen=True, kw_only=True):
    """The best grants of a round, and a proof of how good they are."""

    clients: list[ClientAllocation] = field(default_factory=list)
    objective: float
    lower_bound: float
    gap: float
    """(objective - lower bound) / (objective with nobody sending - lower bound), 0 if that is 0."""
    exact: bool
    solve_s: float
    """Wall-clock time of the solver, s."""


def load_instance(text: bytes, origin: str) -> Instance:
    """Read an instance from JSON; ``origin`` (a file's name) begins every error.

    Raises ConfigurationError naming the client and the key.
    """
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigurationError(f"{origin}: not valid JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("clients"), list):
        raise ConfigurationError(f"{origin}: expected an object with a list 'clients'")
    clients = [_client(entry, index, origin) for index, entry in enumerate(raw["clients"])]
    instance = _convert({**raw, "clients": []}, Instance, origin)
    instance = msgspec.structs.replace(instance, clients=clients)
    check_instance(instance, origin)
    return instance


def check_instance(instance: Instance, origin: str = "instance") -> None:
    """Raise ConfigurationError, naming client and key, if a number makes no sense."""
    for key in ("rb_total", "guard_rb"):
        count = getattr(instance, key)
        if not 0 <= count <= LARGEST_RB_TOTAL:
            raise ConfigurationError(f"{origin}: {key} must be between 0 and {LARGEST_RB_TOTAL}, got {count}")
    if instance.placed and instance.rb_total > LARGEST_PLACED_RB_TOTAL:
        limit = f"{LARGEST_PLACED_RB_TOTAL} with rate_bps_at"
        raise ConfigurationError(f"{origin}: rb_total must be at most {limit}, got {instance.rb_total}")
    _check_numbers(instance, ("V", "queue_s"), origin)
    if instance.deadline_s is not None:
        _check_numbers(instance, ("deadline_s",), origin)
    seen: set[str] = set()
    for client in instance.clients:
        if client.name in seen:
            raise ConfigurationError(f"{origin}: two clients are called '{client.name}'")
        seen.add(client.name)
        where = f"{origin}: client '{client.name}'"
        _check_numbers(client, ("weight", "queue_s", "compute_s", "overhead_s"), where)
        _check_rates(client, instance.rb_total, where)
        _check_curve(client.curve, f"{where}: curve")


def _client(raw: Any, index: int, origin: str) -> ClientInstance:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f"{origin}: client '{name}'" if name and isinstance(name, str) else f"{origin}: clients[{index}]"
    client = _convert(raw, ClientInstance, where)
    if not client.name:
        raise ConfigurationError(f"{where}: name must not be empty")
    return client


def _convert(raw: Any, kind: type[_Checked], where: str) -> _Checked:
    known = [f.name for f in msgspec.structs.fields(kind)]
    for key in raw if isinstance(raw, dict) else ():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigurationError(f"{where}: unknown key '{key}'; the nearest valid one is '{near}'")
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        key = f"{place.rstrip('`')}: " if place else ""
        raise ConfigurationError(f"{where}: {key}{text}") from error


def _check_numbers(values: Struct, keys: Iterable[str], where: str) -> None:
    for key in keys:
        _check_range([getattr(values, key)], f"{where}: {key}")


def _check_range(values: Sequence[float], where: str) -> None:
    for value in values:
        if not 0.0 <= value <= LARGEST_NUMBER:
            bounds = f"finite and at least 0 (at most {LARGEST_NUMBER:g})"
            raise ConfigurationError(f"{where} must be {bounds}, got {value if math.isfinite(value) else float(value)}")


def _check_rates(client: ClientInstance, rb_total: int, where: str) -> None:
    if (client.rate_bps is None) == (client.rate_bps_at is None):
        given = "neither is" if client.rate_bps is None else "both are"
        raise ConfigurationError(f"{where}: give either rate_bps or rate_bps_at; {given} given")
    _check_range(client.rate_bps or [], f"{where}: rate_bps")
    rows = client.rate_bps_at or []
    if len(rows) > rb_total:
        raise ConfigurationError(f"{where}: rate_bps_at has {len(rows)} rows, but the band has {rb_total} RBs")
    for index, row in enumerate(rows):
        starts = rb_total - index
        if len(row) > starts:
            fit = f"{index + 1} RBs have {starts} starts in a band of {rb_total}"
            raise ConfigurationError(f"{where}: rate_bps_at[{index}] has {len(row)} entries, but {fit}")
        _check_range(row, f"{where}: rate_bps_at[{index}]")


def _check_curve(curve: Sequence[CurvePoint], where: str) -> None:
    _check_range([value for point in curve for value in point], where)
    fault = curve_fault(curve)
    if fault:
        raise ConfigurationError(f"{where}: {fault}")
