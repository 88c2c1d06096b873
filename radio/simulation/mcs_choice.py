"""Which MCS ``auto`` takes for a burst: the highest expected goodput that keeps the burst error target.

The rule, exactly. A burst of n blocks fails if one of them does; taking its blocks as independent, the target
of the burst allows each block 1 - (1 - target)^(1/n). Blocks of one burst share its phase and channel estimate, so
they fail together more often than that and the rule errs on the safe side. The block error rate is the link
table's at the effective SNR of the burst's own channel. Of the schemes that pass, the one with the most
correct payload per second of this burst's air time (padding and training paid for) is taken; if none passes, the most
robust one. Schemes whose block is longer than a burst over the grant may be are passed over.
"""

from __future__ import annotations

from functools import lru_cache

from radio.modem.mcs import McsTable
from radio.rates import Sinr, effective_snr_db
from radio.simulation.scenario import Scenario


def block_error_target(burst_error_target: float, blocks: int) -> float:
    """Block error rate at which a burst of independent ``blocks`` fails at ``burst_error_target``."""
    return float(1.0 - (1.0 - burst_error_target) ** (1.0 / blocks))


def choose_burst_mcs(scenario: Scenario, sinr_db_per_rb: Sinr) -> str:
    """The scheme of ``scenario.codec`` for a burst received at these SINRs (per loaded subcarrier, dB)."""
    tables = scenario.tables
    candidates = _candidates(scenario)
    best, best_bps = candidates[0], 0.0
    for mcs in candidates:
        largest_loss, payload_bps = _burst_terms(scenario, mcs)
        loss = tables.block_error_rate(mcs, effective_snr_db(sinr_db_per_rb, mcs))
        goodput_bps = payload_bps * (1.0 - loss)
        if loss <= largest_loss and goodput_bps > best_bps:
            best, best_bps = mcs, goodput_bps
    return best


@lru_cache(maxsize=8)
def _candidates(scenario: Scenario) -> tuple[str, ...]:
    return scenario.auto_mcs


@lru_cache(maxsize=512)
def _burst_terms(scenario: Scenario, mcs: str) -> tuple[float, float]:
    """Block error rate the target allows, and payload per second if every block arrives."""
    blocks = scenario.blocks(mcs)
    payload_bits = 8 * McsTable.load()[mcs].block_bytes * blocks
    return block_error_target(scenario.burst_error_target, blocks), payload_bits / scenario.air_s(mcs)
