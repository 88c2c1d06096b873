"""Running an experiment from the command line: keys, base station, clients, progress, and the summary."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.launcher import ClientProcesses, client_command, client_environment, client_groups
from deploy.progress import ClosableProgress, open_progress
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_to_dict
from protocol.keys import StationKeys, load_station_keys, make_keys

if TYPE_CHECKING:
    from base_station.planning.terms import RankPlan


def run_testbed(
    experiment: Experiment, run_dir: Path, *, resume: bool, as_json: bool, plan: RankPlan | None = None
) -> int:
    """Base station in this process, a process per client (or group of clients), throw-away keys unless it has some.

    Prints the summary as JSON with ``as_json``; ``plan``, which rank and V came from, is kept with the run. Raises what
    ``run_base_station`` raises, and PeerLostError when every client process died for good.
    """
    with contextlib.ExitStack() as stack:
        private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airtune-")))
        keys = _keys_directory(experiment, private)
        station_keys = replace(_station_keys(experiment, keys), throw_away=experiment.clients.keys_dir is None)
        progress = stack.enter_context(_progress(experiment, as_json))
        clients: list[ClientProcesses] = []

        def on_listening(address: str) -> None:
            _keep_plan(plan, run_dir)
            clients.append(_start_clients(experiment, private, keys, address, run_dir, progress))
            stack.callback(clients[0].close)

        try:
            summary = _run_base_station(experiment, run_dir, station_keys, progress, resume, on_listening)
        except KeyboardInterrupt:
            if clients and clients[0].failure is not None:
                raise clients[0].failure from None
            _tell_how_to_resume(run_dir, "run")
            raise
        for processes in clients:  # none if the run was complete already
            processes.finish()
    _print_summary(summary, as_json)
    return 0


def run_station(
    experiment: Experiment, run_dir: Path, keys: Path, *, resume: bool, as_json: bool, plan: RankPlan | None = None
) -> int:
    """The base station alone; clients are started elsewhere. Raises what ``run_base_station`` raises."""

    def on_listening(address: str) -> None:
        _keep_plan(plan, run_dir)
        print(f"airtune: the base station listens at {address}", file=sys.stderr, flush=True)

    station_keys = _station_keys(experiment, keys)
    with _progress(experiment, as_json) as progress:
        try:
            summary = _run_base_station(experiment, run_dir, station_keys, progress, resume, on_listening)
        except KeyboardInterrupt:
            _tell_how_to_resume(run_dir, "base-station", f" --keys {keys}")
            raise
    _print_summary(summary, as_json)
    return 0


def _keep_plan(plan: RankPlan | None, run_dir: Path) -> None:
    if plan is not None:
        from base_station.planning.page import PAGE, write_page
        from deploy.planning.planner import keep_plan

        keep_plan(plan, run_dir)
        write_page(plan, run_dir / PAGE)


def _station_keys(experiment: Experiment, directory: Path) -> StationKeys:
    return load_station_keys(directory, [member.name for member in experiment.clients.members])


def _keys_directory(experiment: Experiment, private: Path) -> Path:
    if experiment.clients.keys_dir is not None:
        return Path(experiment.clients.keys_dir)
    keys = private / "keys"
    make_keys(keys, [member.name for member in experiment.clients.members])
    return keys


@contextlib.contextmanager
def _progress(experiment: Experiment, as_json: bool) -> Iterator[ClosableProgress]:
    """A progress display; with ``as_json`` everything printed meanwhile goes to stderr."""
    with contextlib.ExitStack() as stack:
        if as_json:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        progress = open_progress(experiment.experiment.name, sys.stdout)
        stack.callback(progress.close)
        yield progress


def _run_base_station(
    experiment: Experiment, run_dir: Path, keys: StationKeys, progress: ClosableProgress, resume: bool,
    on_listening: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    from base_station.station import run_base_station
    from deploy.device import device_profile

    return run_base_station(
        experiment, run_dir, keys, progress,
        resume=resume, device=lambda: device_profile(experiment), on_listening=on_listening,
    )  # fmt: skip


def _start_clients(
    experiment: Experiment, private: Path, keys: Path, address: str, run_dir: Path, progress: ClosableProgress
) -> ClientProcesses:
    """Start the clients on a copy of the experiment, so that editing the file cannot disturb a running one."""
    from base_station.store.toml_text import toml_text

    copy = private / "experiment.toml"
    copy.write_text(toml_text(experiment_to_dict(experiment)), "utf-8")
    state = run_dir / "clients"
    processes = ClientProcesses(
        client_groups(experiment), client_command(copy, keys, address, state), state, progress.warn,
        on_all_lost=_interrupt_main_thread, environment=client_environment(experiment),
    )  # fmt: skip
    processes.start()
    return processes


def _interrupt_main_thread() -> None:
    """Wake the main thread with KeyboardInterrupt (the command line maps SIGTERM to it), whatever it waits for."""
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGTERM)


def _tell_how_to_resume(run_dir: Path, command: str, options: str = "") -> None:
    if (config := run_dir / "config.toml").exists():
        print(f"airtune: go on with: airtune {command} {config} --resume --out {run_dir}{options}", file=sys.stderr)


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, indent=2, allow_nan=False))
