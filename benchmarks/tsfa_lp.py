"""TSFA online beside CVXPY: python -m benchmarks.tsfa_lp [--sizes 32x100x16 1000x273x32] [--draws 3].

Instances of the `per-client` model in which a fifth of the clients send at the optimum, or as many as fit: V is
calibrated so. `band`: how many RBs each client can use. `full`: any number, so that the band is crowded. `half`: as
many as leave half the band unused (half the band is as well in use where clients of one RB and their guards fill it).

The peer (CVXPY, with HiGHS): tabulate the best point for each number of RBs, solve the linear relaxation of the
multiple-choice knapsack, round it: what is wholly taken stays, the rest of the band goes to the fractional clients.
Seconds are wall clock of the library call, in the same process and on one core. `bound`: relative difference between
the relaxation and our lower bound. `peer excess`: relative objective of the rounded answer above ours.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from typing import NamedTuple

import cvxpy
import msgspec
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from base_station.tsfa.problem import Allocation, Instance
from base_station.tsfa.solver import solve
from benchmarks.parts.arguments import integer
from benchmarks.tsfa_speed import random_instance

ACTIVE_SHARE, USED_SHARE = 0.2, 0.5
LARGEST_V, SMALLEST_V = 1e4, 1e-4
BISECTIONS = 14
WHOLE = 1 - 1e-7


class Rounded(NamedTuple):
    """What the peer finds."""

    lower_bound: float
    objective: float
    seconds: float


def calibrated_instance(clients: int, rb_total: int, points: int, draw: int, band: str) -> Instance:
    """The least V at which a fifth of the clients send, or as many as the band and its guards hold."""
    instance = random_instance(clients, rb_total, points, "per-client", draw)
    wanted = min(math.ceil(ACTIVE_SHARE * clients), (rb_total + instance.guard_rb) // (1 + instance.guard_rb))
    if band == "half":
        longest = max(round(USED_SHARE * rb_total / wanted), 1)
        members = [msgspec.structs.replace(c, rate_bps=(c.rate_bps or [])[:longest]) for c in instance.clients]
        instance = msgspec.structs.replace(instance, clients=members)
    low, high = SMALLEST_V, LARGEST_V
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        enough = active(solve(msgspec.structs.replace(instance, V=middle))) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return msgspec.structs.replace(instance, V=high)


def active(allocation: Allocation) -> int:
    """How many clients send."""
    return sum(client.rb_count > 0 for client in allocation.clients)


def round_relaxation(instance: Instance) -> Rounded:
    """Lower bound and rounded answer of the linear relaxation, by CVXPY."""
    started = time.perf_counter()
    gain = tabulated_gain(instance)
    row, column = np.nonzero(gain > 0.0)
    size, capacity = column + 1 + instance.guard_rb, instance.rb_total + instance.guard_rb
    share = cvxpy.Variable(len(row), nonneg=True)
    takers = scipy.sparse.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(gain), len(row)))
    # Numbers near 1: HiGHS fails on the raw ones.
    unit = float(gain.max())
    problem = cvxpy.Problem(
        cvxpy.Maximize(gain[row, column] / unit @ share), [takers @ share <= 1, size @ share <= capacity]
    )
    relaxed = unit * problem.solve(solver=cvxpy.SCIPY, scipy_options={"method": "highs-ipm"})
    saved = _rounded(gain, row, column, np.asarray(share.value), instance)
    silent = sum(instance.V * c.weight * c.curve[0][1] + c.queue_s * c.compute_s for c in instance.clients)
    return Rounded(silent - relaxed, silent - saved, time.perf_counter() - started)


def tabulated_gain(instance: Instance) -> NDArray[np.float64]:
    """What the best point gains with k + 1 RBs, (N, K), by the formula of the objective; 0 where nothing does."""
    width = min(max(len(c.rate_bps or []) for c in instance.clients), instance.rb_total)
    gain = np.zeros((len(instance.clients), width))
    for row, client in zip(gain, instance.clients, strict=True):
        rate = np.array(client.rate_bps)[:width, None]
        bits, energy = np.array(client.curve)[1:].T
        airtime = client.overhead_s + bits / rate
        value = instance.V * client.weight * (client.curve[0][1] - energy) - client.queue_s * airtime
        if instance.deadline_s is not None:
            value[client.compute_s + airtime > instance.deadline_s] = 0.0
        row[: len(rate)] = value.max(axis=1, initial=0.0)
    return gain


def _rounded(
    gain: NDArray[np.float64],
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    share: NDArray[np.float64],
    instance: Instance,
) -> float:
    """What the rounded answer saves against silence."""
    whole = share > WHOLE
    saved = float(gain[row[whole], column[whole]].sum())
    left = instance.rb_total + instance.guard_rb - int((column[whole] + 1 + instance.guard_rb).sum())
    for n in np.unique(row[(share > 1 - WHOLE) & ~whole]):
        offered = gain[n, : max(left - instance.guard_rb, 0)]
        if offered.max(initial=0.0) > 0.0:
            saved += float(offered.max())
            left -= int(offered.argmax()) + 1 + instance.guard_rb
    return saved


def _line(size: str, band: str, draw: int) -> str:
    clients, rb_total, points = (int(part) for part in size.split("x"))
    instance = calibrated_instance(clients, rb_total, points, draw, band)
    started = time.perf_counter()
    ours = solve(instance)
    seconds = time.perf_counter() - started
    peer = round_relaxation(instance)
    used = sum(c.rb_count for c in ours.clients) / rb_total
    return (
        f"{size:12} {band:4} {draw:4} {active(ours) / clients:7.1%} {used:7.1%} {ours.exact!s:>5} {ours.gap:8.1e} "
        f"{seconds:9.4f} {peer.seconds:9.3f} {abs(peer.lower_bound / ours.lower_bound - 1):8.1e} "
        f"{peer.objective / ours.objective - 1:11.1e}"
    )


def _size(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no size: clients x RBs x points, as in 32x100x16")
    return text


def main() -> None:
    """Print one line for each instance."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--sizes", nargs="+", type=_size, default=["32x100x16", "1000x273x32"], help="clients x RBs x points"
    )
    parser.add_argument("--draws", type=integer(1), default=3, help="instances of each size")
    args = parser.parse_args()
    print("size         band draw  active    used exact      gap     s ours    s peer    bound peer excess")
    for size in args.sizes:
        for band in ("full", "half"):
            for draw in range(args.draws):
                print(_line(size, band, draw), flush=True)


if __name__ == "__main__":
    main()
