"""Reading an experiment file: TOML, overrides from the command line, and checks.

Unknown keys are rejected by naming the nearest valid one. All values are resolved, so the copy kept with a run
describes it wholly.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import msgspec
from msgspec import Struct

from protocol.configuration import HARDWARE_DRIVERS, NAME_PATTERN, NAME_RULE, ClientTable, Experiment, Table
from protocol.errors import ConfigurationError
from protocol.schemes import FIXED_SHARE_RULES, IMAGE_DATA, LABEL_PARTITIONS

if sys.version_info >= (3, 11):
    import tomllib
else:  # JetPack 6
    import tomli as tomllib


_EXPECTED = "expected TABLE.KEY=VALUE, as in training.local_steps=4"
AUTO_RANK = "auto"
"""``model.lora_rank`` and ``tsfa.V`` are then planned before the run (docs/plan.md)."""
ACQUISITION_REACH_HZ = 120e3
"""Carrier offset between two radios at which first contact still works (docs/design.md, section 3)."""


def load_experiment(
    path: Path, overrides: Sequence[str] = (), settings: Mapping[str, Any] = MappingProxyType({})
) -> Experiment:
    """Read, set keys (``settings``: values by ``table.key``; then ``overrides``: ``table.key=value``) and check.

    Raises ConfigurationError with the file, the key and the nearest valid name.
    """
    return experiment_from_dict(experiment_tables(path, overrides, settings), str(path))


def experiment_tables(
    path: Path, overrides: Sequence[str] = (), settings: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The tables of ``load_experiment`` before they are checked. Raises ConfigurationError."""
    raw = read_toml(path)
    for key, value in settings.items():
        _set(raw, key, value, f"{path}: {key}")
    for text in overrides:
        _override(raw, text)
    return raw


def read_toml(path: Path) -> dict[str, Any]:
    """Content of a TOML file. Raises ConfigurationError."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error


def asks_for_plan(raw: Mapping[str, Any]) -> bool:
    """Whether the rank (and V with it) is to be planned before the run."""
    model = raw.get("model")
    return isinstance(model, dict) and model.get("lora_rank") == AUTO_RANK


def experiment_from_dict(raw: dict[str, Any], origin: str) -> Experiment:
    """Check a nested mapping against the schema; ``origin`` names it in errors."""
    reject_unknown_keys(raw, Experiment, origin, "")
    _reject_non_finite(raw, origin, "")
    if asks_for_plan(raw):
        raise ConfigurationError(
            f'{origin}: model.lora_rank = "auto" is for `airtune run` and `airtune base-station`; elsewhere take the '
            "number that `airtune plan` prints, or the config.toml of the run"
        )
    try:
        experiment = msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{origin}: {readable(str(error))}") from error
    _check_consistency(experiment, origin)
    return experiment


def experiment_to_dict(experiment: Experiment) -> dict[str, Any]:
    """Nested mapping with every default filled in and unset options left out (TOML has no null)."""
    full = msgspec.to_builtins(experiment)
    return {table: _without_none(values) for table, values in full.items()}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value


def _override(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--set {text}: {_EXPECTED}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    _set(raw, key.strip(), parsed, f"--set {text}")


def _set(raw: dict[str, Any], key: str, value: Any, origin: str) -> None:
    table, dot, name = key.partition(".")
    if not dot or not name:
        raise ConfigurationError(f"{origin}: {_EXPECTED}")
    values = raw.setdefault(table, {})
    if not isinstance(values, dict):
        raise ConfigurationError(f"{origin}: [{table}] must be a table, but the file has {table} = {values!r}")
    values[name] = value


def reject_unknown_keys(raw: Any, table: type[Struct], origin: str, where: str) -> None:
    """Raise ConfigurationError, naming the nearest valid one, if ``raw`` has a key that ``table`` has not."""
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{origin}: [{where or 'file'}] must be a table")
    known = {f.name: f.type for f in msgspec.structs.fields(table)}
    for key, value in raw.items():
        full = f"{where}.{key}" if where else key
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            what = "key" if where else "table"
            raise ConfigurationError(f"{origin}: unknown {what} '{full}'; the nearest valid one is '{near[0]}'")
        kind = known[key]
        if isinstance(kind, type) and issubclass(kind, Table):
            reject_unknown_keys(value, kind, origin, full)
        elif key == "members" and isinstance(value, list):
            for index, member in enumerate(value):
                reject_unknown_keys(member, ClientTable, origin, f"{full}[{index}]")


def _reject_non_finite(value: Any, origin: str, where: str) -> None:
    """TOML has ``nan`` and ``inf``; no key of ours takes them, and range limits would let some through."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{origin}: {where}: {value} is not a number to compute with")
    if isinstance(value, dict):
        for key, inner in value.items():
            _reject_non_finite(inner, origin, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _reject_non_finite(inner, origin, f"{where}[{index}]")


def readable(message: str) -> str:
    """What msgspec says, ``... - at `$.radio.guard_rb``` as ``radio.guard_rb: ...``, with the values there are."""
    text, marker, place = message.partition(" - at `$.")
    if NAME_PATTERN in text:
        text = f"expected {NAME_RULE}"
    if not marker:
        return text
    key = place.rstrip("`")
    if text.startswith("Invalid enum value"):
        text += f"; valid: {', '.join(map(str, _literal_values(key)))}"
    return f"{key}: {text}"


def _literal_values(key: str) -> tuple[Any, ...]:
    """What ``table.key`` may be."""
    kind: Any = Experiment
    for name in key.split("."):
        kind = next(f.type for f in msgspec.structs.fields(kind) if f.name == name)
    return get_args(kind)


def _check_consistency(experiment: Experiment, origin: str) -> None:
    names = [m.name for m in experiment.clients.members]
    hardware = experiment.radio.driver in HARDWARE_DRIVERS
    measured = experiment.channel.model == "replay"
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"{origin}: clients.members: two clients are called '{name}'")
        if name == "base-station":
            raise ConfigurationError(f"{origin}: clients.members: 'base-station' is not a client's name")
    for member in experiment.clients.members:
        both = member.distance_m is not None and member.mean_snr_db is not None
        neither = member.distance_m is None and member.mean_snr_db is None
        if both or (neither and not hardware and not measured):
            raise ConfigurationError(
                f"{origin}: client '{member.name}' needs exactly one of distance_m and mean_snr_db"
            )
    if measured != (experiment.channel.replay_file is not None):
        raise ConfigurationError(f'{origin}: channel.model = "replay" and channel.replay_file belong together')
    if measured and experiment.channel.doppler_hz > 0.0:
        raise ConfigurationError(
            f"{origin}: channel.doppler_hz: a replayed channel moves as it was measured; leave it out"
        )
    if fault := _hardware_fault(experiment):
        raise ConfigurationError(f"{origin}: {fault}")
    model, data = experiment.model, experiment.data
    if (model.source == "local") != (model.path is not None):
        raise ConfigurationError(f'{origin}: [model] source = "local" and path belong together')
    if data.source not in IMAGE_DATA and (data.source == "table") != (data.path is not None):
        raise ConfigurationError(f'{origin}: [data] source = "table" and path belong together')
    if fault := _task_fault(experiment):
        raise ConfigurationError(f"{origin}: {fault}")
    offset_hz = 2e-6 * experiment.channel.carrier_offset_ppm * experiment.radio.carrier_hz
    if offset_hz > ACQUISITION_REACH_HZ:
        raise ConfigurationError(
            f"{origin}: channel.carrier_offset_ppm: crystals this far apart move the carrier by "
            f"{offset_hz / 1e3:.0f} kHz; first contact reaches {ACQUISITION_REACH_HZ / 1e3:.0f} kHz"
        )
    if experiment.soft.compression == "svd" and experiment.training.aggregation == "separate":
        raise ConfigurationError(
            f'{origin}: soft.compression = "svd" sends changes of products, and training.aggregation = "separate" '
            'averages factors; set it to "exact-drop", "exact-fold", "freeze-a" or "alternate"'
        )
    if fault := _allocation_fault(experiment):
        raise ConfigurationError(f'{origin}: tsfa.allocation = "{experiment.tsfa.allocation}": {fault}')


def _hardware_fault(experiment: Experiment) -> str:
    """Why the radio profile cannot be used for radios on a desk; empty if it can, or if there are none."""
    radio = experiment.radio
    if radio.driver not in HARDWARE_DRIVERS:
        return ""
    if radio.band_hz is not None and radio.band_hz[0] >= radio.band_hz[1]:
        return "radio.band_hz: the lowest frequency comes first"
    if radio.connection == "air" and (radio.band_hz is None or not (radio.licence or "").strip()):
        return (
            'radio.connection = "air": radio.band_hz (what you may send in) and radio.licence (what allows it) must '
            'be given; with attenuators in cables leave it "cable"'
        )
    missing = [f"client '{m.name}'" for m in experiment.clients.members if m.uri is None]
    if radio.uri is None or missing:
        who = missing[0] if radio.uri is not None else "the base station (radio.uri)"
        return f'radio.driver = "{radio.driver}": {who} needs a uri, as "ip:192.168.2.1"'
    channel = experiment.channel
    if channel.lost_block_rate > 0.0 or channel.inverted_fraction > 0.0 or channel.jammer_rb is not None:
        return f'radio.driver = "{radio.driver}": faults and jammers of [channel] are simulated ones; leave them out'
    if experiment.tsfa.allocation == "genie":
        return f'radio.driver = "{radio.driver}": nobody knows the true channel; tsfa.allocation = "genie" needs to'
    return ""


def _task_fault(experiment: Experiment) -> str:
    """Why model, data and partition do not go together; empty if they do."""
    model, data = experiment.model, experiment.data
    learns = model.learns
    if (learns == "image-classification") != (data.source in IMAGE_DATA):
        kind = "images" if data.source in IMAGE_DATA else "texts"
        return f'data.source = "{data.source}" holds {kind}, which is nothing for {learns} (model.task)'
    if learns != "text-classification" and model.pooling == "mean":
        return f'model.pooling = "mean" is for text classification; {learns} needs "native"'
    if learns == "language-modelling" and data.partition in LABEL_PARTITIONS:
        return (
            f'data.partition = "{data.partition}" goes by labels, which {learns} has none of; take "iid", or "natural" '
            "where the data have groups"
        )
    return ""


def _allocation_fault(experiment: Experiment) -> str:
    """Why the other keys do not go with ``tsfa.allocation``; empty if they do."""
    tsfa, members = experiment.tsfa, experiment.clients.members
    fixed = tsfa.allocation in FIXED_SHARE_RULES
    if tsfa.fixed_share is not None and not fixed:
        return f"tsfa.fixed_share is for {' and '.join(FIXED_SHARE_RULES)}; leave it out"
    if fixed and experiment.soft.compression == "dense" and tsfa.fixed_share != 1.0:
        return 'soft.compression = "dense" sends all or nothing; set tsfa.fixed_share = 1.0'
    if tsfa.best_k is not None and tsfa.allocation != "best-k":
        return "tsfa.best_k is for best-k; leave it out"
    if tsfa.best_k is not None and tsfa.best_k > len(members):
        return f"tsfa.best_k = {tsfa.best_k}, but there are {len(members)} clients"
    return _ideal_fault(experiment) if tsfa.allocation == "ideal" else ""


def _ideal_fault(experiment: Experiment) -> str:
    if experiment.radio.driver != "abstract":
        return 'nothing is lost and nothing has to fit the band: only radio.driver = "abstract" can follow'
    if experiment.channel.lost_block_rate > 0.0:
        return "nothing is lost; leave out channel.lost_block_rate"
    if experiment.tsfa.deadline_s is not None or experiment.tsfa.ready_deadline_s is not None:
        return "it has no deadlines; leave out tsfa.deadline_s and tsfa.ready_deadline_s"
    return ""
