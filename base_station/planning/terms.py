"""The terms by which candidate ranks are scored, and the plan they make (docs/algorithms.md, section 5).

The energies are those of F(W + e) <= F(W) + <grad, e> + (L / 2) |e|^2: all that does not reach the global weights as
it was meant. Energies of two ranks cannot be compared as they are: with the same learning rate a larger rank moves
the weights less, for alpha / r is smaller, and learns more slowly. So each term is turned into nats of loss by the
first-order part of the bound (ours): what the pilot's whole updates gained is gained in proportion to the share of
their energy that arrives. Left out: residuals, and that later rounds may differ from the pilot's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from protocol.adapters import Adapter, Scaling, lora_modules, module_scaling


class Candidate(Struct, frozen=True, kw_only=True):
    """One rank: what its pilot learned, what of it would be lost, and the online stage it was played with."""

    rank: int
    gain: float
    """Fall of the loss over the pilot, every update arriving whole, nats."""
    unsent_share: float
    """Mean over played rounds of ``sum_n w_n E_n(bits granted)`` over ``sum_n w_n E_n(0)``."""
    covariance_share: float
    """Mean over pilot rounds of the covariance's energy over ``sum_n w_n E_n(0)``."""
    approximation_energy: float
    """What the reference change has beyond its ``rank`` largest singular values, sum over modules."""
    unsent_energy: float
    """Mean over played rounds of ``sum_n w_n E_n(bits granted)``."""
    covariance_energy: float
    """Mean over pilot rounds of ``sum_m |s C_m|_F^2``."""
    approximation: float
    """Gain of the best rank's pilot less this one's, nats: what the rank cannot express or learns more slowly."""
    V: float
    """The V whose stationary queue is about the latency budget."""
    mean_latency_s: float
    stationary_queue_s: float
    mean_bits: float
    """Granted per client and round."""

    @property
    def sparsification(self) -> float:
        """Gain lost with what stays unsent, nats."""
        return max(self.gain, 0.0) * self.unsent_share

    @property
    def covariance(self) -> float:
        """Gain lost to the bias of averaging the factors apart, nats."""
        return max(self.gain, 0.0) * min(self.covariance_share, 1.0)

    @property
    def score(self) -> float:
        """Sum of the terms, nats; the least is best."""
        return self.approximation + self.sparsification + self.covariance


class RankPlan(Struct, frozen=True, kw_only=True):
    """What ``airtune plan`` found."""

    key: str
    """Hash of all that went in."""
    experiment: str
    latency_budget_s: float
    pilot_rounds: int
    played_rounds: int
    candidates: list[Candidate]

    @property
    def best(self) -> Candidate:
        """The candidate of least score; of equal ones the smallest rank."""
        return min(self.candidates, key=lambda c: (c.score, c.rank))


def approximation_energies(adapter: Adapter, scaling: Scaling, ranks: Sequence[int]) -> list[float]:
    """``sum_m sum_{i > r} sigma_i(s B A)^2`` for each rank; B starts at 0, so ``s B A`` is the whole change."""
    spectra = [_squared_spectrum(adapter[m.b_name], adapter[m.a_name]) * module_scaling(scaling, m.name) ** 2
               for m in lora_modules(adapter)]  # fmt: skip
    return [float(sum(spectrum[rank:].sum() for spectrum in spectra)) for rank in ranks]


def _squared_spectrum(b: NDArray[np.float32], a: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared singular values of ``b a``, (r,), falling: from QR of both factors and an SVD of the small core."""
    core = np.linalg.qr(b.astype(np.float64)).R @ np.linalg.qr(a.T.astype(np.float64)).R.T
    values: NDArray[np.float64] = np.linalg.svd(core, full_matrices=False).S
    return values**2
