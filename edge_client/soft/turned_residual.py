"""The residual where aggregation turns the basis of the factors (``exact-drop``, ``exact-fold``).

What a round left unsent is a low-rank change of each module's product, ``B A - B^ A^ - U V``: wanted less arrived.
The next round's factors span other directions, so it is put into them by least squares: first into B over the rows
of A, then what those rows do not reach into A over the columns of the changed B. Source: ours (docs/algorithms.md,
section 3).
"""

from __future__ import annotations

import numpy as np

from protocol.adapters import Adapter, LoraModule, Scaling, lora_modules, module_scaling
from protocol.factors import Matrix, product_energy
from protocol.update.records import DecodedUpdate

RESOLUTION = 1e-3
"""Directions of a factor shorter than this share of its longest take nothing: they would need huge values."""


def turned_residual(
    start: Adapter, delta: Adapter, arrived: DecodedUpdate, base: Adapter, scaling: Scaling
) -> tuple[Adapter, float]:
    """The residual as a change of ``base``, and the energy of it that ``base`` cannot hold.

    ``start``, ``delta`` and ``arrived`` are of the round that left it: the adapter it began with, what it wanted to
    change, and what was committed of that.
    """
    residual = {name: value - arrived.delta[name] for name, value in delta.items()}
    lost = 0.0
    for module in lora_modules(base):
        left, right = _unsent_product(module, start, delta, arrived)
        b0, a0 = base[module.b_name].astype(np.float64), base[module.a_name].astype(np.float64)
        db, da, energy = into_factors(left, right, b0, a0)
        residual[module.b_name], residual[module.a_name] = db.astype(np.float32), da.astype(np.float32)
        lost += module_scaling(scaling, module.name) ** 2 * energy
    return residual, lost


def into_factors(left: Matrix, right: Matrix, b0: Matrix, a0: Matrix) -> tuple[Matrix, Matrix, float]:
    """(dB, dA, ``|left right - ((b0 + dB)(a0 + dA) - b0 a0)|_F^2``), the last of which is small."""
    rows = np.linalg.lstsq(a0.T, right.T, rcond=RESOLUTION)[0]
    db = left @ rows.T
    outside = right - rows.T @ a0
    b = b0 + db
    columns = np.linalg.lstsq(b, left, rcond=RESOLUTION)[0]
    return db, columns @ outside, product_energy(left - b @ columns, outside)


def _unsent_product(
    module: LoraModule, start: Adapter, delta: Adapter, arrived: DecodedUpdate
) -> tuple[Matrix, Matrix]:
    """``[dB - dB^, B^, -U] [A; dA - dA^; V]``: no large products are subtracted from each other."""
    b0, a0 = start[module.b_name].astype(np.float64), start[module.a_name].astype(np.float64)
    db, da = delta[module.b_name].astype(np.float64), delta[module.a_name].astype(np.float64)
    db_arrived, da_arrived = arrived.delta[module.b_name], arrived.delta[module.a_name]
    left = [db - db_arrived, b0 + db_arrived]
    right = [a0 + da, da - da_arrived]
    if module.name in arrived.products:
        u, v = arrived.products[module.name]
        left.append(-u.astype(np.float64))
        right.append(v.astype(np.float64))
    return np.hstack(left), np.vstack(right)
