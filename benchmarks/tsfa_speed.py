"""Solve time and gap of TSFA online on random instances of three sizes: python -m benchmarks.tsfa_speed."""

from __future__ import annotations

import argparse

import numpy as np

from base_station.tsfa.problem import ClientInstance, Instance
from base_station.tsfa.solver import solve
from protocol.random_streams import random_stream

SIZES = ((4, 28, 48), (8, 28, 48), (32, 100, 16), (1000, 273, 32))


def random_instance(clients: int, rb_total: int, points: int, model: str, draw: int) -> Instance:
    """Clients at unequal SNR, each with an error curve of uneven steps, so that it is not convex."""
    rng = random_stream(1, "tsfa-speed", clients, draw)
    weights = rng.dirichlet(np.ones(clients))
    members = []
    for index in range(clients):
        snr = 10 ** (rng.uniform(3, 25) / 10)
        counts = np.arange(1, rb_total + 1)
        rates = 5e4 * counts * np.log2(1 + snr * rb_total / counts)
        bits = np.unique(np.append(0, np.geomspace(2e4, 1e6 * rb_total / clients, points - 1).astype(int)))
        steps = rng.gamma(0.3, np.linspace(2.0, 0.1, len(bits)))
        energies = rng.uniform(0.5, 2.0) * np.cumsum(steps[::-1])[::-1] / steps.sum()
        members.append(
            ClientInstance(
                name=f"client-{index}",
                weight=float(weights[index]),
                queue_s=float(rng.uniform(0, 1.0) * weights[index]),
                compute_s=1.0,
                overhead_s=0.005,
                rate_bps=rates.tolist(),
                curve=list(zip(bits.tolist(), energies.tolist(), strict=True)),
            )
        )
    return Instance(
        rb_total=rb_total, guard_rb=1, V=1.0, latency_model=model, queue_s=0.2, deadline_s=15.0, clients=members
    )


def main() -> None:
    """Print one line per size and latency model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3, help="instances of each size")
    args = parser.parse_args()
    print("clients x RBs x points  model       active  solve s (median, worst)  gap (worst)")
    for clients, rb_total, points in SIZES:
        for model in ("per-client", "round"):
            answers = [solve(random_instance(clients, rb_total, points, model, draw)) for draw in range(args.draws)]
            seconds = [answer.solve_s for answer in answers]
            active = np.mean([sum(c.rb_count > 0 for c in answer.clients) for answer in answers])
            gap = max(answer.gap for answer in answers)
            shape = f"{clients} x {rb_total} x {points}"
            print(
                f"{shape:22}  {model:10}  {active:6.1f}  {np.median(seconds):10.4f} {max(seconds):10.4f}  {gap:12.2e}"
            )


if __name__ == "__main__":
    main()
