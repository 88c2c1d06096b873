"""How much of an update's energy SOFT carries per bit, against its peers, and what choosing costs.

An update of MiniLM's shape (12 modules of 384 x 384, rank 8, as after a few AdamW steps: entries of about one size,
components of unlike strength) is sent under budgets of 5 to 100 % of its 8-bit size:

    soft          components by update energy per bit (what airtune sends)
    random        components in random order
    magnitude     single values by size, with the cheaper of a bitmap and 17-bit indices
    svd           singular pairs of each module's dense change, ranked over all modules, quantisation taken as free;
                  a pair costs as many values as a component, whose change has rank two

Run: python benchmarks/soft_selection.py
"""

from __future__ import annotations

import time

import numpy as np

from edge_client.soft.encoding import encode
from edge_client.soft.ranking import Ranking, error_curve, rank
from protocol.adapters import Adapter, lora_modules, zeros_like
from protocol.factors import exact_energy
from protocol.random_streams import random_stream
from protocol.update.files import decode_file

MODULES, WIDTH, RANK, SCALING, QUANT_BITS = 12, 384, 8, 2.0, 8
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)


def example() -> tuple[Adapter, Adapter]:
    """(base, change): A orthogonal-ish from initialisation, B partly trained."""
    rng = random_stream(1, "benchmark-update")
    base: Adapter = {}
    delta: Adapter = {}
    for module in range(MODULES):
        strength = np.exp(rng.normal(size=RANK))
        a = rng.uniform(-1, 1, size=(RANK, WIDTH)) / np.sqrt(WIDTH)
        values = {
            "lora_A": (a, 0.004 * rng.normal(size=(RANK, WIDTH)) * strength[:, None]),
            "lora_B": (0.01 * rng.normal(size=(WIDTH, RANK)), 0.01 * rng.normal(size=(WIDTH, RANK)) * strength),
        }
        for factor, (start, change) in values.items():
            base[f"m{module}.{factor}.weight"] = start.astype(np.float32)
            delta[f"m{module}.{factor}.weight"] = change.astype(np.float32)
    return base, delta


def left_out(base: Adapter, delta: Adapter, sent: Adapter) -> float:
    """Exact energy between the whole change and what was sent."""
    reached = {name: base[name] + sent[name] for name in base}
    return exact_energy(reached, {name: delta[name] - sent[name] for name in base}, SCALING)


def by_components(ranking: Ranking, budget_bits: int) -> Adapter:
    """Decoded update of the ranking's prefix under the budget."""
    file = encode(ranking, budget_bits, random_stream(1, "benchmark-rounding")).file
    return decode_file(file, ranking.base).delta


def by_magnitude(delta: Adapter, budget_bits: int) -> Adapter:
    """Largest single values, quantisation taken as free (to its favour)."""
    sizes = np.concatenate([np.abs(v).ravel() for v in delta.values()])
    with_bitmap, with_indices = (budget_bits - sizes.size) // QUANT_BITS, budget_bits // (QUANT_BITS + 17)
    count = int(min(max(with_bitmap, with_indices, 0), sizes.size))
    floor = np.partition(sizes, -count)[-count] if count else np.inf
    return {name: np.where(np.abs(v) >= floor, v, 0.0).astype(np.float32) for name, v in delta.items()}


def svd_pairs(base: Adapter, delta: Adapter, budget_bits: int) -> tuple[float, float]:
    """(energy left, seconds) of the best low-rank approximations of the modules' changes."""
    started, values = time.perf_counter(), []
    for m in lora_modules(base):
        change = (base[m.b_name] + delta[m.b_name]) @ (base[m.a_name] + delta[m.a_name])
        values.append(np.linalg.svd(change - base[m.b_name] @ base[m.a_name], compute_uv=False))
    energies = np.sort(SCALING**2 * np.concatenate(values).astype(np.float64) ** 2)[::-1]
    count = budget_bits // (2 * WIDTH * QUANT_BITS)
    return float(energies[count:].sum()), time.perf_counter() - started


def main() -> None:
    """Print the table."""
    base, delta = example()
    started = time.perf_counter()
    ranking = rank(
        base, delta, scaling=SCALING, importance="update-energy", kappa=1.0, quant_bits=QUANT_BITS
    )  # fmt: skip
    curve = error_curve(ranking)
    encode(ranking, curve[-1][0], random_stream(1, "benchmark-rounding"))
    soft_s = time.perf_counter() - started
    total, full_bits = left_out(base, delta, zeros_like(base)), 8 * int(ranking.file_bytes[-1])
    shuffled = random_order(ranking)
    print("share of bits   energy left: soft   random   magnitude   svd pairs")
    for share in SHARES:
        bits = int(share * full_bits)
        rows = [left_out(base, delta, by_components(r, bits)) for r in (ranking, shuffled)]
        rows += [left_out(base, delta, by_magnitude(delta, bits)), svd_pairs(base, delta, bits)[0]]
        print(f"{share:13.2f}   " + "   ".join(f"{row / total:9.4f}" for row in rows))
    svd_s = svd_pairs(base, delta, 0)[1]
    print(f"rank, curve and encode {1e3 * soft_s:.1f} ms; SVDs of the dense changes {1e3 * svd_s:.0f} ms")


def random_order(ranking: Ranking) -> Ranking:
    """The same components in random order."""
    order = random_stream(1, "benchmark-order").permutation(len(ranking.order))
    gains = ranking.gains[order]
    sizes = np.diff(ranking.file_bytes)[order]
    return Ranking(
        ranking.base, ranking.delta, ranking.components, ranking.quant_bits, ranking.annotated,
        ranking.order[order], gains, ranking.file_bytes[0] + np.append(0, np.cumsum(sizes)),
        ranking.total_energy - np.append(0.0, np.cumsum(gains)),
    )  # fmt: skip


if __name__ == "__main__":
    main()
