"""A hundred rounds of a hundred clients over the abstract radio, without training: seconds, by stage.

    OMP_NUM_THREADS=1 python -m benchmarks.abstract_rounds [--clients 100] [--rounds 100]

Rounds as in a run (``benchmarks.parts.played_rounds``): each client is sounded in a window of its own, TSFA places
grants in 28 RBs, fragments go out and are decoded, the round is committed to a run store; training, aggregation and
validation are left out. Limit: 60 s, one core. ``solve`` is TSFA's part of ``allocate``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from base_station.state import ServerState
from benchmarks.parts.arguments import integer
from benchmarks.parts.played_rounds import PlayedRounds
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict

LIMIT_S = 60.0
SNR_DB = (5.0, 28.0)


def experiment(clients: int, rounds: int) -> Experiment:
    """Clients at evenly spread SNRs, Rayleigh fading, LDPC; the demo's V and budget."""
    snr_db = np.linspace(*SNR_DB, clients)
    raw = {
        "experiment": {"name": "many", "seed": 3, "rounds": rounds},
        "tsfa": {"V": 8.0, "latency_budget_s": 4.68},
        "radio": {"driver": "abstract"},
        "clients": {"members": [{"name": f"c{i}", "mean_snr_db": float(s)} for i, s in enumerate(snr_db)]},
    }
    return experiment_from_dict(raw, "many")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=integer(1), default=100)
    parser.add_argument("--rounds", type=integer(1), default=100)
    options = parser.parse_args()
    stages: Counter[str] = Counter()
    granted, delivered = 0, 0
    wall_s, cpu_s = time.monotonic(), time.process_time()
    with (
        tempfile.TemporaryDirectory() as directory,
        PlayedRounds(experiment(options.clients, options.rounds), Path(directory) / "run") as rounds,
    ):
        stages["open"] = time.monotonic() - wall_s
        state = ServerState.initial(rounds.lab.experiment)
        for _ in range(options.rounds):
            began = time.monotonic()
            played, state = rounds.play(state)
            stages.update(played.stage_wall_s)
            stages["commit"] += time.monotonic() - began - sum(played.stage_wall_s.values())
            stages["solve"] += played.allocation.solve_s if played.allocation else 0.0
            granted += len(played.link.grants)
            delivered += sum(grant.arq.complete for grant in played.link.grants.values())
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    print(f"{options.clients} clients, {options.rounds} rounds, {granted} grants, {delivered} delivered whole")
    print("seconds by stage: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items()))
    verdict = "ok" if wall_s <= LIMIT_S else "MISSED"
    print(f"wall {wall_s:.1f} s, CPU {cpu_s:.1f} s, limit {LIMIT_S:.0f} s: {verdict}")


if __name__ == "__main__":
    main()
