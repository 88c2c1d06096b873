"""What a round costs beside training and radio: airtune, Flower and a bare ZeroMQ loop carrying the same bytes.

    python -m benchmarks.orchestration [--clients 2 10 50 200] [--payloads 0.3MB 1MB 4MB 33MB] [--json FILE]
    python -m benchmarks.orchestration --flower-python VENV/bin/python     # with flwr[simulation] in it

An adapter goes down to every client, as many bytes come up from each and their mean is added; nobody trains. airtune
is the product, processes and all, over the abstract radio that loses nothing (``parts/orchestration_airtune.py``); the
limit a ZeroMQ loop with CURVE that copies nothing and checks nothing; Flower its simulation and its deployment, with
its own polling intervals and with the shortest. A system and the limit play their rounds in turns, each in a network
namespace of its own; ratios are to those rounds. Aim: airtune within 3x the limit from 1 MB on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.parts.arguments import integer
from benchmarks.parts.orchestration_flower import flower_environment
from benchmarks.parts.orchestration_marks import part_command
from benchmarks.parts.orchestration_meter import System, started
from benchmarks.parts.orchestration_payloads import PAYLOADS

AIM = 3.0
AIM_FROM_BYTES = 1_000_000
LIMIT = "limit"
MOST_BYTES = 2_000_000_000
"""Clients times payload; more does not fit a small machine."""
MOST_DEPLOYED = 10
"""Clients of Flower's deployment: each is three processes of 90 MB and more."""
LEAST_ROUNDS = 2
_ROUNDS_S = 120.0
"""After so long a system plays no more than ``LEAST_ROUNDS`` rounds."""
OWN = ("airtune",)
FLOWER = {
    "flower-simulation": ("simulation", False),
    "flower-simulation-fast": ("simulation", True),
    "flower-deployment": ("deployment", False),
    "flower-deployment-fast": ("deployment", True),
}
"""Way and whether polling is as fast as it goes."""


def main() -> int:
    """Command line; the exit code tells whether the aim was met wherever it was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=integer(1), nargs="+", default=[2, 10, 50, 200])
    parser.add_argument("--payloads", choices=PAYLOADS, nargs="+", default=["0.3MB", "1MB", "4MB", "33MB"])
    parser.add_argument("--rounds", type=integer(1), default=7, help="measured rounds of a system at a point")
    parser.add_argument("--systems", choices=[*OWN, *FLOWER], nargs="+", default=[*OWN, *FLOWER])
    parser.add_argument("--flower-python", type=Path, default=Path(sys.executable), help="a Python that has Flower")
    parser.add_argument("--json", type=Path, help="where all figures go")
    options = parser.parse_args()
    flower_python = options.flower_python.absolute()
    systems = available(options.systems, flower_python)
    rows = []
    print(HEADER)
    with tempfile.TemporaryDirectory() as logs:
        for payload in options.payloads:
            for clients in options.clients:
                for name in systems:
                    why = too_much(name, clients, PAYLOADS[payload].payload_bytes)
                    if why:
                        print(f"{payload:>6} {clients:7d}  {name:22}  left out: {why}", flush=True)
                        continue
                    rows += measured(name, payload, clients, options.rounds, flower_python, Path(logs))
    print_parts(rows)
    if options.json:
        report = {"machine": machine(), "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return verdict(rows)


def available(systems: Sequence[str], flower_python: Path) -> list[str]:
    """``systems`` without Flower's if there is no Flower; says how to get it."""
    if not set(systems) & set(FLOWER):
        return list(systems)
    version = flower_version(flower_python)
    if version:
        print(f"Flower {version}")
        return list(systems)
    print(
        f"Flower is left out: {flower_python} does not have it. Put it into an environment of its own,\n"
        "    python3 -m venv VENV && VENV/bin/pip install 'flwr[simulation]' numpy\n"
        "and give --flower-python VENV/bin/python (or install the extra 'peer' here)."
    )
    return [name for name in systems if name not in FLOWER]


def flower_version(python: Path) -> str:
    """Version of Flower that ``python`` has with its simulation; empty if it has none."""
    try:
        return subprocess.check_output(
            [python, "-c", "import flwr, ray; print(flwr.__version__)"], text=True, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def too_much(name: str, clients: int, payload_bytes: int) -> str:
    """Why a system is not measured at a point; empty if it is."""
    if clients * payload_bytes > MOST_BYTES:
        return f"{clients * payload_bytes / 1e9:.1f} GB of updates in a round"
    if name.startswith("flower-deployment") and clients > MOST_DEPLOYED:
        return f"more than {MOST_DEPLOYED} clients need too much memory and time to start a process per message"
    return ""


def measured(name: str, payload: str, clients: int, rounds: int, flower_python: Path, logs: Path) -> list[dict]:
    """Rounds of a system and of the limit in turns; a row each."""
    with ExitStack() as stack:
        pair = [start(stack, each, payload, clients, flower_python, logs) for each in (LIMIT, name)]
        for system in pair:
            system.warm_up()
        patience_ends = time.monotonic() + _ROUNDS_S
        for played in range(rounds):
            if played >= LEAST_ROUNDS and time.monotonic() > patience_ends:
                break
            for system in pair:
                system.play()
        for system in pair:
            system.weigh()
    rows = [row(system, pair[0], payload, clients) for system in pair]
    for each in rows:
        print(line(each), flush=True)
    return rows


def start(stack: ExitStack, name: str, payload: str, clients: int, flower_python: Path, logs: Path) -> System:
    """A system that waits for its first round."""
    size = ["--clients", str(clients), "--payload", payload]
    if name in FLOWER:
        way, fast = FLOWER[name]
        command = [*part_command("flower", str(flower_python)), way, *size]
        environment = flower_environment(flower_python, fast)
    else:
        command = [*part_command(name), "station", *size]
        environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return stack.enter_context(started(name, command, logs / f"{name}.log", environment))


def row(system: System, limit: System, payload: str, clients: int) -> dict:
    """The figures of one system at one point."""
    sizes = [r.wire_bytes for r in system.rounds if r.wire_bytes is not None]
    round_s, cpu_s, parts = median_s(system), mean_cpu_s(system), system.rounds[0].parts_s
    carried = 2 * clients * PAYLOADS[payload].payload_bytes
    wire_bytes = statistics.median(sizes) if sizes else None
    return {
        "system": system.name, "payload": payload, "payload_bytes": PAYLOADS[payload].payload_bytes,
        "clients": clients, "rounds": len(system.rounds), "round_s": round_s,
        "least_round_s": min(r.round_s for r in system.rounds), "most_round_s": max(r.round_s for r in system.rounds),
        "times_limit": round_s / median_s(limit), "cpu_s": cpu_s,
        "cpu_times_limit": cpu_s / mean_cpu_s(limit) if mean_cpu_s(limit) else None, "wire_bytes": wire_bytes,
        "wire_over_carried": wire_bytes / carried if wire_bytes is not None else None,
        "peak_pss_bytes": system.peak_bytes, "processes": system.most_processes,
        "parts_s": {part: statistics.median(r.parts_s[part] for r in system.rounds) for part in parts},
        "load_1min": os.getloadavg()[0],
    }  # fmt: skip


def median_s(system: System) -> float:
    """Of its measured rounds."""
    return statistics.median(r.round_s for r in system.rounds)


def mean_cpu_s(system: System) -> float:
    """A mean, as CPU time is told in steps of 10 ms a process."""
    return statistics.fmean(r.cpu_s for r in system.rounds)


HEADER = (
    "payload clients  system                  s/round median [least .. most]   x limit   CPU s  x limit   "
    "wire MB  x carried  peak PSS MB  processes"
)


def line(figures: dict) -> str:
    """One row of the table."""
    wire, over = figures["wire_bytes"], figures["wire_over_carried"]
    on_wire = f"{wire / 1e6:9.2f}  {over:9.2f}" if wire is not None else f"{'-':>9}  {'-':>9}"
    cpu = f"{figures['cpu_times_limit']:7.1f}" if figures["cpu_times_limit"] is not None else f"{'-':>7}"
    return (
        f"{figures['payload']:>7} {figures['clients']:7d}  {figures['system']:22}  {figures['round_s']:8.4f} "
        f"[{figures['least_round_s']:8.4f} .. {figures['most_round_s']:8.4f}]  {figures['times_limit']:8.1f}  "
        f"{figures['cpu_s']:6.3f}  {cpu}  {on_wire}  {figures['peak_pss_bytes'] / 1e6:11.0f}  {figures['processes']:9d}"
    )


def print_parts(rows: Sequence[dict]) -> None:
    """Where airtune's and the limit's rounds went."""
    if rows:
        print("\nshare of each part in the round (medians, s)")
    for figures in rows:
        if figures["parts_s"] and (figures["system"] != LIMIT or figures["payload"] == rows[0]["payload"]):
            parts = ", ".join(
                f"{part} {spent:.4f} ({spent / figures['round_s']:.0%})" for part, spent in figures["parts_s"].items()
            )
            print(f"{figures['payload']:>7} {figures['clients']:7d}  {figures['system']}: {parts}")


def verdict(rows: Sequence[dict]) -> int:
    """Say where the aim is met."""
    judged = [r for r in rows if r["system"] == "airtune" and r["payload_bytes"] >= AIM_FROM_BYTES]
    for figures in judged:
        outcome = "ok" if figures["times_limit"] <= AIM else "MISSED"
        point = f"{figures['payload']}, {figures['clients']} clients"
        print(f"aim {AIM:g}x the limit: {point}: {figures['times_limit']:.1f}x: {outcome}")
    return 0 if all(figures["times_limit"] <= AIM for figures in judged) else 1


def machine() -> dict:
    """What it was measured on."""
    return {
        "cores": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
