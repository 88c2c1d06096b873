"""Which runs a comparison is made of, and where each of them lies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from base_station.store.run_store import DATABASE, RunStore
from base_station.store.toml_text import toml_text
from deploy.sweeps.sweep_file import Settings, is_sweep, load_sweep
from learning.own_files import own_files_text
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError, RunError
from protocol.experiment_file import experiment_to_dict, load_experiment, read_toml
from radio.channel.replay import replay_sha256

_HASH_CHARACTERS = 10
_SHORT = 24
SEED = "experiment.seed"


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison: there already, to be gone on with, or to be made."""

    method: str
    experiment: Experiment
    directory: Path

    @property
    def seed(self) -> int:
        """The seed of its experiment."""
        return self.experiment.experiment.seed

    @property
    def fault(self) -> str:
        """Why nothing can be made of what is there; empty if nothing stands in the way."""
        try:
            if self.started:
                RunStore.read(self.directory).close()
            elif self.directory.exists():
                raise RunError(f"{self.directory}: holds no {DATABASE}")
        except RunError as error:
            return f"{error}; move the directory away to have the run made anew"
        return ""

    @property
    def started(self) -> bool:
        """Whether there is anything of it."""
        return (self.directory / DATABASE).is_file()

    @property
    def finished(self) -> bool:
        """Whether it is complete, test included."""
        if not self.started:
            return False
        with RunStore.read(self.directory) as store:
            return store.fact("finished") is not None

    @property
    def rounds_done(self) -> int:
        """Committed rounds."""
        if not self.started:
            return 0
        with RunStore.read(self.directory) as store:
            return int(store.query("SELECT COUNT(*) FROM commits")[0][0])


@dataclass(frozen=True)
class Plan:
    """Everything that is to be compared."""

    name: str
    runs: Sequence[PlannedRun]
    reference: str | None = None
    target: float | None = None
    equal_airtime_s: float | None = None

    @property
    def methods(self) -> dict[str, list[PlannedRun]]:
        """Runs by method, in order of first appearance."""
        grouped: dict[str, list[PlannedRun]] = {}
        for run in self.runs:
            grouped.setdefault(run.method, []).append(run)
        return grouped


def default_out(sources: Sequence[Path], runs: Path) -> Path:
    """Where a comparison goes unless told: by the sweep's or the first experiment's name. Raises ConfigurationError."""
    tomls = [path for path in sources if _is_toml(path)]
    if not tomls:
        return runs / "comparison"
    raw = read_toml(tomls[0])
    if is_sweep(raw):
        return runs / load_sweep(tomls[0]).sweep.name
    return runs / f"compare-{load_experiment(tomls[0]).experiment.name}"


def make_plan(sources: Sequence[Path], overrides: Sequence[str], seeds: Sequence[int] | None, out: Path) -> Plan:
    """The plan of ``airtune compare``'s arguments: runs, experiments, or one sweep file.

    New runs lie in ``out``, named by method, seed and a hash of the whole resolved experiment and of the content of
    the files it names, so that a run is found again exactly while nothing it depends on was changed. Raises
    ConfigurationError, DataError and RunError.
    """
    sweeps = [path for path in sources if _is_toml(path) and is_sweep(read_toml(path))]
    if sweeps and len(sources) > 1:
        raise ConfigurationError(f"{sweeps[0]}: a sweep file is compared alone")
    if sweeps:
        return _of_sweep(sweeps[0], overrides, seeds, out)
    found = [_existing(path) for path in sources if not _is_toml(path)]
    if len(found) == len(sources) and (overrides or seeds is not None):
        raise ConfigurationError("--set and --seeds are for experiment files; run directories are compared as they are")
    made = [
        (experiment.experiment.name, experiment)
        for path in sources
        if _is_toml(path)
        for experiment in _seeded(path, {}, overrides, seeds)
    ]
    names = list(dict.fromkeys([run.experiment.experiment.name for run in found] + [name for name, _ in made]))
    runs = _told_apart([*found, *(_placed(name, experiment, out) for name, experiment in made)])
    return _checked(Plan(" and ".join(names) if len(names) < 4 else f"{len(names)} experiments", runs))


def _of_sweep(path: Path, overrides: Sequence[str], seeds: Sequence[int] | None, out: Path) -> Plan:
    sweep = load_sweep(path)
    table = sweep.sweep
    base = path.parent / table.base
    runs = [
        _placed(label, experiment, out)
        for label, settings in sweep.settings()
        for experiment in _of_method(path, label, base, settings, overrides, table.seeds if seeds is None else seeds)
    ]
    return _checked(Plan(table.name, runs, table.reference, table.target_accuracy, table.equal_airtime_s))


def _of_method(
    sweep: Path, label: str, base: Path, settings: Settings, overrides: Sequence[str], seeds: Sequence[int]
) -> list[Experiment]:
    try:
        return _seeded(base, settings, overrides, seeds)
    except ConfigurationError as error:
        if str(error) == _fault_of(base, overrides):
            raise
        raise ConfigurationError(f"{sweep}: '{label}': {str(error).removeprefix(f'{base}: ')}") from error


def _fault_of(base: Path, overrides: Sequence[str]) -> str:
    """What is wrong with an experiment file whatever a method sets; empty if nothing is."""
    try:
        load_experiment(base, overrides)
    except ConfigurationError as error:
        return str(error)
    return ""


def _checked(plan: Plan) -> Plan:
    for method, runs in plan.methods.items():
        seeds = [run.seed for run in runs]
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            places = ", ".join(str(run.directory) for run in runs if run.seed == twice)
            raise ConfigurationError(f"two runs of '{method}' have seed {twice}: {places}; leave one out")
    return plan


def _seeded(path: Path, settings: Settings, overrides: Sequence[str], seeds: Sequence[int] | None) -> list[Experiment]:
    if seeds is not None and any(text.partition("=")[0].strip() == SEED for text in (*settings, *overrides)):
        raise ConfigurationError(f"{SEED}: runs are made with the seeds that are listed (sweep.seeds, --seeds A,B,C)")
    experiment = load_experiment(path, overrides, settings)
    if seeds is None:
        return [experiment]
    table = experiment.experiment
    return [msgspec.structs.replace(experiment, experiment=msgspec.structs.replace(table, seed=seed)) for seed in seeds]


def _placed(method: str, experiment: Experiment, out: Path) -> PlannedRun:
    text = toml_text(experiment_to_dict(experiment)) + (replay_sha256(experiment) or "") + own_files_text(experiment)
    digest = hashlib.blake2b(text.encode()).hexdigest()[:_HASH_CHARACTERS]
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", method).strip("-.") or "run"
    return PlannedRun(method, experiment, out / f"{slug}-seed{experiment.experiment.seed}-{digest}")


def _existing(directory: Path) -> PlannedRun:
    with RunStore.read(directory) as store:
        return PlannedRun(store.experiment.experiment.name, store.experiment, directory)


def _told_apart(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Methods of one name whose settings differ get the differing keys into their names."""
    variants: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        known = variants.setdefault(run.method, [])
        if _settings(run.experiment) not in known:
            known.append(_settings(run.experiment))
    return [
        PlannedRun(_named(run, variants[run.method]), run.experiment, run.directory)
        for run in runs
    ]  # fmt: skip


def _named(run: PlannedRun, variants: Sequence[dict[str, Any]]) -> str:
    own = _settings(run.experiment)
    differing = [key for key in own if any(other.get(key) != own[key] for other in variants)]
    parts = [f"{key.rpartition('.')[2]} {_short(own[key])}" for key in differing]
    return f"{run.method} ({', '.join(parts)})" if parts else run.method


def _short(value: Any) -> str:
    """A value as it is written, long ones (a list of clients) by a hash."""
    text = str(value)
    return text if len(text) <= _SHORT else hashlib.blake2b(text.encode()).hexdigest()[:6]


def _settings(experiment: Experiment) -> dict[str, Any]:
    """Everything but name and seed, by ``table.key``."""
    tables = experiment_to_dict(experiment)
    flat = {f"{table}.{key}": value for table, values in tables.items() for key, value in values.items()}
    return {key: value for key, value in flat.items() if key not in ("experiment.name", SEED)}


def _is_toml(path: Path) -> bool:
    return path.suffix == ".toml" and not path.is_dir()
