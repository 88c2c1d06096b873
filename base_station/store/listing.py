"""The runs of a directory at a glance."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from base_station.store.lock import is_being_written
from base_station.store.run_store import DATABASE, RunStore
from protocol.errors import AirtuneError


class RunLine(Struct, frozen=True, kw_only=True):
    """One run in a list of runs."""

    name: str
    state: str
    """``running``, ``finished``, ``stopped`` (may be resumed) or ``unreadable``."""
    rounds_done: int = 0
    rounds: int = 0
    accuracy: float | None = None
    """Test accuracy at the end; until then the last round's validation accuracy."""
    airtime_s: float = 0.0
    started: str = ""
    iq: bool = True
    """False if the run drew its losses from link tables (``radio.driver = "abstract"``)."""
    reason: str = ""
    """Why it is unreadable."""


def list_runs(directory: Path) -> list[RunLine]:
    """Every run under ``directory`` by name; damaged ones are listed as such. Empty if there is none."""
    if not directory.is_dir():
        return []
    return [
        run_line(path) for path in sorted(directory.iterdir()) if (path / DATABASE).is_file() and path.name[0] != "."
    ]


def run_line(directory: Path) -> RunLine:
    """The line of one run."""
    try:
        with RunStore.read(directory) as store, store.snapshot():
            return _line(store)
    except AirtuneError as error:
        return RunLine(name=directory.name, state="unreadable", reason=str(error))


def _line(store: RunStore) -> RunLine:
    done, airtime_s = store.query("SELECT COUNT(*), TOTAL(airtime_s) FROM rounds")[0]
    last = store.query("SELECT accuracy FROM rounds ORDER BY round_index DESC LIMIT 1")
    finished = store.fact("finished") is not None
    return RunLine(
        name=store.directory.name,
        state="running" if is_being_written(store.directory) else "finished" if finished else "stopped",
        rounds_done=done,
        rounds=store.experiment.experiment.rounds,
        accuracy=store.fact("final_accuracy", last[0][0] if last else None),
        airtime_s=airtime_s,
        started=store.manifest.get("started", ""),
        iq=store.experiment.radio.driver != "abstract",
    )
