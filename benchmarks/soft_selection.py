"""How much of an update's energy each compression scheme carries per bit, and what choosing costs.

An update of MiniLM's shape (12 modules of 384 x 384, rank 8, as after a few AdamW steps: entries of about one size,
components of unlike strength) is encoded by every scheme under budgets of 5 to 100 % of its 8-bit size; the files are
decoded, and the exact energy of what they lack is compared. Then the cost of ranking alone at the shape of a large
model's module (4,096 x 4,096, rank 64) against magnitude top-k and QR-SVD.

Run: python -m benchmarks.soft_selection
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from edge_client.soft.compression import COMPRESSORS, rank
from edge_client.soft.encoding import encode
from edge_client.soft.importance import component_energies
from edge_client.soft.ranking import Change, error_curve
from edge_client.soft.singular import rank_svd
from protocol.adapters import Adapter, lora_modules
from protocol.factors import product_energy
from protocol.random_streams import random_stream
from protocol.update.components import Components
from protocol.update.files import decode_file
from protocol.update.records import DecodedUpdate

SCALING, QUANT_BITS = 2.0, 8
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
REPEATS = 5


def example(modules: int, width: int, rank: int) -> Change:
    """A orthogonal-ish from initialisation, B partly trained."""
    rng = random_stream(1, "benchmark-update")
    base: Adapter = {}
    delta: Adapter = {}
    for module in range(modules):
        strength = np.exp(rng.normal(size=rank))
        a = rng.uniform(-1, 1, size=(rank, width)) / np.sqrt(width)
        values = {
            "lora_A": (a, 0.004 * rng.normal(size=(rank, width)) * strength[:, None]),
            "lora_B": (0.01 * rng.normal(size=(width, rank)), 0.01 * rng.normal(size=(width, rank)) * strength),
        }
        for factor, (start, change) in values.items():
            base[f"m{module}.{factor}.weight"] = start.astype(np.float32)
            delta[f"m{module}.{factor}.weight"] = change.astype(np.float32)
    return Change(base, delta, SCALING, 1.0, QUANT_BITS)


def left_out(change: Change, sent: DecodedUpdate) -> float:
    """Exact energy between the whole change and what was sent."""
    total = 0.0
    for m in lora_modules(change.base):
        b, a = (change.base[n].astype(np.float64) + change.delta[n] for n in (m.b_name, m.a_name))
        b_sent, a_sent = (change.base[n].astype(np.float64) + sent.delta[n] for n in (m.b_name, m.a_name))
        left, right = [b - b_sent, b_sent], [a, a - a_sent]
        if m.name in sent.products:
            left.append(-sent.products[m.name][0])
            right.append(sent.products[m.name][1])
        total += SCALING**2 * product_energy(np.hstack(left), np.vstack(right))
    return total


def energy_by_bits() -> None:
    """Print the share of energy left by scheme and budget, and the time of a whole encoding."""
    change = example(modules=12, width=384, rank=8)
    full_bits = error_curve(rank("soft", change))[-1][0]
    whole = left_out(change, DecodedUpdate({n: np.zeros_like(v) for n, v in change.delta.items()}, (), 0))
    print("energy left, by share of SOFT's full size" + "".join(f"{share:9.2f}" for share in SHARES) + "   rank+encode")
    for name in COMPRESSORS:
        figures, started = [], time.process_time()
        ranking = rank(name, change)
        encode(ranking, full_bits, random_stream(1, "benchmark-rounding"))
        cost_s = time.process_time() - started
        for share in SHARES:
            file = encode(ranking, int(share * full_bits), random_stream(1, "benchmark-rounding")).file
            figures.append(left_out(change, decode_file(file, change.base)) / whole)
        print(f"{name:41s}" + "".join(f"{figure:9.4f}" for figure in figures) + f"{1e3 * cost_s:10.1f} ms")


def cost_of_choosing() -> None:
    """Print what measuring and ordering the parts of one large module costs (no encoding, no curve)."""
    change = example(modules=1, width=4096, rank=64)
    components = Components(change.base)

    def by_energy() -> None:
        np.argsort(-component_energies(components, change.base, change.delta, SCALING, 1.0))

    def by_magnitude() -> None:
        sizes = np.concatenate([np.abs(value).ravel() for value in change.delta.values()])
        np.argpartition(sizes, -sizes.size // 10)

    soft_s = seconds(by_energy)
    print("\none module of 4,096 x 4,096, rank 64: choosing alone, best of", REPEATS)
    for name, cost_s in (("component energies", soft_s), ("magnitude top-k", seconds(by_magnitude)),
                         ("QR-SVD with rounding errors", seconds(lambda: rank_svd(change)))):  # fmt: skip
        print(f"{name:41s}{1e3 * cost_s:10.1f} ms   {cost_s / soft_s:6.1f} x")


def seconds(action: Callable[[], object]) -> float:
    """Least CPU time of some repeats."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    """Print both tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    energy_by_bits()
    cost_of_choosing()


if __name__ == "__main__":
    main()
