"""Finding a recorded burst by round, client and window; what is not there is told with the nearest that is."""

from __future__ import annotations

import difflib
from pathlib import Path

from base_station.report.received import ReceivedBurst, received_bursts
from base_station.store.run_store import DATABASE, RunStore
from protocol.errors import ConfigurationError, RunError


def open_run(directory: Path) -> RunStore:
    """The run to read. Raises RunError that names the nearest run beside it."""
    if not (directory / DATABASE).is_file():
        place = directory.resolve()  # "." has no name
        names = sorted(path.parent.name for path in place.parent.glob(f"*/{DATABASE}"))
        near = difflib.get_close_matches(place.name, names, n=1, cutoff=0.0)
        if near:
            raise RunError(f"{directory}: no run is there; the nearest is {place.with_name(near[0])}")
    return RunStore.read(directory)


def find_bursts(store: RunStore, round_index: int | None, client: str | None) -> list[ReceivedBurst]:
    """All bursts of the run, of one round, of one client, or of both. Raises ConfigurationError."""
    rounds = [r.round_index for r in store.rounds()]
    if not rounds:
        raise ConfigurationError(f"{store.directory}: no round has been committed yet")
    if round_index is not None and round_index not in rounds:
        nearest = min(rounds, key=lambda t: abs(t - round_index))
        raise ConfigurationError(
            f"{store.directory}: no round {round_index}; the nearest is {nearest} (it has {rounds[0]} to {rounds[-1]})"
        )
    names = [member.name for member in store.experiment.clients.members]
    if client is not None and client not in names:
        nearest_name = difflib.get_close_matches(client, names, n=1, cutoff=0.0)[0]
        raise ConfigurationError(f"{store.directory}: no client '{client}'; the nearest is '{nearest_name}'")
    chosen = rounds if round_index is None else [round_index]
    return [b for t in chosen for b in received_bursts(store, t) if client in (None, b.record.client)]


def choose_burst(bursts: list[ReceivedBurst], window_index: int | None) -> ReceivedBurst | None:
    """Of one client's bursts in a round the one of ``window_index``; without, the last data burst or sounding.

    None if there is no burst at all.

    Raises ConfigurationError if it sent nothing in that window.
    """
    if window_index is None:
        chosen = [b for b in bursts if b.record.kind == "data"] or bursts
        return chosen[-1] if chosen else None
    windows = [b.record.window_index for b in bursts]
    if window_index in windows:
        return bursts[windows.index(window_index)]
    if not windows:
        raise ConfigurationError(f"window {window_index}: the client was to send nothing in that round")
    nearest = min(windows, key=lambda w: abs(w - window_index))
    raise ConfigurationError(
        f"window {window_index}: the client sent nothing in it; the nearest is {nearest} "
        f"(there are {', '.join(map(str, windows))})"
    )
