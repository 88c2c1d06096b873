"""Flower in the orchestration benchmark, simulated (Ray) or deployed (SuperLink, SuperNodes). Needs flwr[simulation].

Run by a Python that has it, which need not be ours, in the environment that ``flower_environment`` gives.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

PARTS = Path(__file__).resolve().parent
APP = "benchmarks.parts.orchestration_flower_app"
CONNECT_PATIENCE_S = 60.0
_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "orchestration"
version = "1.0.0"
dependencies = []
[tool.flwr.app]
publisher = "airtune"
[tool.flwr.app.components]
serverapp = "orchestration_app:server"
clientapp = "orchestration_app:client"
"""
_MODULE = f"""from {APP} import client as _client, server as _server
client = _client
server = _server
"""
_CONNECTION = """[superlink]
default = "bench"
[superlink.bench]
address = "127.0.0.1:{port}"
insecure = true
"""


def flower_environment(python: Path, fast: bool) -> dict[str, str]:
    """What is changed for Flower's processes: nothing is called home, the app is found, and with ``fast`` every
    wait between two polls is 5 or 10 ms instead of what Flower comes with (0.1 to 3 s).
    """  # fmt: skip
    paths = [str(PARTS.parents[1]), *([str(PARTS / "flower_fast")] if fast else [])]
    changed = {
        "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    if fast:
        changed["FLWR_SUPEREXEC_TASK_POLL_INTERVAL"] = "0.01"  # the least it takes
    return changed


def simulate(clients: int) -> None:
    """All in one machine's Ray, two workers of one core."""
    from flwr.simulation import run_simulation

    from benchmarks.parts.orchestration_flower_app import client, server

    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(server, client, num_supernodes=clients, backend_config=resources)


class Deployment:
    """A SuperLink, a SuperNode per client, and a run; a context manager that ends them all."""

    def __init__(self, clients: int, directory: Path) -> None:
        self._stack = ExitStack()
        self._directory = directory
        port = free_port()
        os.environ["FLWR_HOME"] = str(directory / "home")
        (directory / "home").mkdir()
        (directory / "home" / "config.toml").write_text(_CONNECTION.format(port=port), "utf-8")
        app = directory / "app"
        (app / "orchestration_app").mkdir(parents=True)
        (app / "pyproject.toml").write_text(_PROJECT, "utf-8")
        (app / "orchestration_app" / "__init__.py").write_text(_MODULE, "utf-8")
        self._start("flower-superlink", "--insecure", "--disable-runtime-dependency-installation", "--port", str(port))
        wait_for_port(port)
        for _ in range(clients):
            link = ("--superlink", f"127.0.0.1:{port}")
            self._start("flower-supernode", "--insecure", *link, "--port", str(free_port()))
        self.run = self._start("flwr", "run", str(app), "bench", "--stream")

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, cwd=self._directory, start_new_session=True)
        self._stack.callback(end, process)
        return process

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and its children to end; kill them if they do not."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, kind)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            continue


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Until somebody listens there."""
    patience_ends = time.monotonic() + CONNECT_PATIENCE_S
    while time.monotonic() < patience_ends:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"Flower's SuperLink does not listen at port {port}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("simulation", "deployment"))
    for option in ("--clients", "--payload", "--marks"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    for part in ("clients", "payload", "marks"):  # the app's, in whatever process it runs
        os.environ[f"AIRTUNE_FLOWER_{part.upper()}"] = getattr(options, part)
    if options.way == "simulation":
        simulate(int(options.clients))
        return
    with tempfile.TemporaryDirectory() as directory, Deployment(int(options.clients), Path(directory)) as deployment:
        deployment.run.wait()
