"""CPU time and gap of TSFA online on random instances: python -m benchmarks.tsfa_speed.

First rates that depend on the number of RBs only, then (`placed`) rates that depend on their place too: each client's
channel is a few Rayleigh taps, at a mean SNR of 3 to 25 dB, and one RB of the band is barred.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from base_station.tsfa.problem import Allocation, ClientInstance, Instance
from base_station.tsfa.solver import solve
from benchmarks.parts.arguments import integer
from protocol.random_streams import random_stream

SIZES = ((4, 28, 48), (8, 28, 48), (32, 100, 16), (1000, 273, 32))
PLACED_SIZES = ((4, 28, 48), (8, 28, 48), (16, 28, 48), (32, 28, 48), (32, 100, 16))
RB_RATE_BPS = 5e4
TAPS = 3


def random_instance(clients: int, rb_total: int, points: int, model: str, draw: int, placed: bool = False) -> Instance:
    """Clients at unequal SNR, each with an error curve of uneven steps, so that it is not convex."""
    rng = random_stream(1, "tsfa-speed", clients, draw)
    weights = rng.dirichlet(np.ones(clients))
    barred = int(rng.integers(rb_total)) if placed else -1
    members = []
    for index in range(clients):
        snr = 10 ** (rng.uniform(3, 25) / 10)
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
                rate_bps=None if placed else flat_rates(snr, rb_total),
                rate_bps_at=placed_rates(snr * rayleigh_gains(rng, rb_total), barred) if placed else None,
                curve=list(zip(bits.tolist(), energies.tolist(), strict=True)),
            )
        )
    return Instance(
        rb_total=rb_total, guard_rb=1, V=1.0, latency_model=model, queue_s=0.2, deadline_s=15.0, clients=members
    )


def flat_rates(snr: float, rb_total: int) -> list[float]:
    """Shannon rate with 1, 2, ... RBs of a flat channel at one total power."""
    counts = np.arange(1, rb_total + 1)
    rates: list[float] = (RB_RATE_BPS * counts * np.log2(1 + snr * rb_total / counts)).tolist()
    return rates


def rayleigh_gains(rng: np.random.Generator, rb_total: int) -> NDArray[np.float64]:
    """Power gain of each RB, mean 1."""
    taps = rng.normal(size=(TAPS, 2)) @ [1, 1j] / np.sqrt(2 * TAPS)
    gains: NDArray[np.float64] = np.abs(np.fft.fft(taps, rb_total)) ** 2
    return gains


def placed_rates(snr: NDArray[np.float64], barred: int) -> list[list[float]]:
    """Shannon rate for each number and first RB, 0 over the barred one; the power is shared by the granted RBs."""
    rb_total = len(snr)
    rows = []
    for count in range(1, rb_total + 1):
        summed = np.append(0.0, np.cumsum(np.log2(1 + snr * rb_total / count)))
        rates = RB_RATE_BPS * (summed[count:] - summed[:-count])
        rates[max(barred - count + 1, 0) : barred + 1] = 0.0
        rows.append(rates.tolist())
    return rows


def timed(instance: Instance) -> tuple[Allocation, float]:
    """The answer and the CPU time it took, s."""
    started = time.process_time()
    answer = solve(instance)
    return answer, time.process_time() - started


def main() -> None:
    """Print one line per size and latency model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=integer(1), default=3, help="instances of each size")
    parser.add_argument("--only-placed", action="store_true", help="only where rates depend on the place")
    args = parser.parse_args()
    print("clients x RBs x points  rates   model       active  exact  CPU s (median, worst)  gap (median, worst)")
    sizes = [(size, True) for size in PLACED_SIZES]
    if not args.only_placed:
        sizes = [(size, False) for size in SIZES] + sizes
    for (clients, rb_total, points), placed in sizes:
        for model in ("per-client", "round"):
            draws = range(args.draws)
            pairs = [timed(random_instance(clients, rb_total, points, model, draw, placed)) for draw in draws]
            answers, seconds = zip(*pairs, strict=True)
            active = np.mean([sum(c.rb_count > 0 for c in answer.clients) for answer in answers])
            exact = sum(answer.exact for answer in answers)
            gaps = [answer.gap for answer in answers]
            print(
                f"{f'{clients} x {rb_total} x {points}':22}  {'placed' if placed else 'count':6}  {model:10}  "
                f"{active:6.1f}  {f'{exact}/{len(answers)}':>5}  {np.median(seconds):10.4f} {max(seconds):10.4f}  "
                f"{np.median(gaps):9.1e} {max(gaps):9.1e}"
            )


if __name__ == "__main__":
    main()
