"""Encoding a prefix of the ranking under a bit budget, and what stays behind.

Definitions: docs/algorithms.md, sections 2.2, 2.5 and 2.8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_client.soft.ranking import RankedRecord, Ranking
from protocol.adapters import Adapter, adapter_digest
from protocol.errors import BudgetError
from protocol.update.files import EnergyTable, Header, header_bytes, write_file


@dataclass(frozen=True)
class EncodedUpdate:
    """An update file and what it holds."""

    file: bytes
    """At most floor(budget / 8) bytes; empty when nothing was granted."""
    components_sent: int
    """Units of the scheme's layout: rank components, tiles or triplets, and head rows."""
    components_total: int
    lora_values_sent: int
    lora_values_total: int
    unsent_energy: float
    """The error curve's value at this prefix."""

    @property
    def payload_bits(self) -> int:
        """Size of the file in bits."""
        return 8 * len(self.file)


def local_update(base: Adapter, trained: Adapter, residual: Adapter | None = None) -> Adapter:
    """``trained - base + residual`` in factor space, float32."""
    delta = {name: trained[name] - value for name, value in base.items()}
    return delta if residual is None else {name: value + residual[name] for name, value in delta.items()}


def new_residual(delta: Adapter, committed: Adapter) -> Adapter:
    """``delta - committed``: all that the base station did not take over, quantisation error included.

    ``committed`` is what ``join_fragments`` decodes from the fragments the base station acknowledged as committed.
    """
    return {name: value - committed[name] for name, value in delta.items()}


def decayed(residual: Adapter, decay: float) -> Adapter:
    """``decay`` times the residual (ours; error feedback with decay is textbook).

    What stays unsent is learned again in every round, from a global adapter that still lacks it: carried whole over
    many rounds it grows to a multiple of what was meant, and arrives all at once.
    """
    return residual if decay == 1.0 else {name: np.float32(decay) * value for name, value in residual.items()}


def encode(ranking: Ranking, budget_bits: int, rng: np.random.Generator) -> EncodedUpdate:
    """Encode the best prefix of at most ``budget_bits``, rounding with draws from ``rng``.

    A budget of 0 means silence: an empty file. Raises BudgetError for a budget between that and the header.
    """
    annotated = ranking.change.annotated
    minimum_bits = 8 * header_bytes(annotated)
    if 0 < budget_bits < minimum_bits:
        raise BudgetError(f"a budget of {budget_bits} bits does not hold the header; the minimum is {minimum_bits}")
    prefix = ranking.best_prefix(budget_bits)
    sent = ranking.records(prefix, rng)
    return EncodedUpdate(
        file=_file(ranking, sent) if budget_bits else b"",
        components_sent=len(sent),
        components_total=len(ranking.layout),
        lora_values_sent=sum(record.lora_values for record in sent),
        lora_values_total=ranking.layout.lora_values,
        unsent_energy=float(ranking.unsent[prefix]),
    )


def _file(ranking: Ranking, sent: list[RankedRecord]) -> bytes:
    change, layout, records = ranking.change, ranking.layout, [record.data for record in sent]
    header = Header(
        change.quant_bits, change.frozen, change.annotated, adapter_digest(change.base), len(sent), layout.name
    )
    if not change.annotated:
        return write_file(header, records)
    sizes = np.array([len(record) for record in records], dtype=np.int64)
    gains = np.array([record.gain for record in sent])
    return write_file(header, records, EnergyTable(ranking.total_energy, len(layout), gains, sizes))
