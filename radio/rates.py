"""What a channel is worth: effective SNR, MCS choice, goodput and the rate table of a client.

Pure functions of measured SINR and the link tables. A channel that differs over its RBs enters through
the mean mutual information of the constellation (bit-interleaved, Gray mapped): the effective SNR is
the one at which a flat channel carries as much. Source: mutual-information effective SNR mapping as
in the link-to-system literature; the tables and the rest are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radio.link_tables import LinkTables
from radio.modem.constellations import Constellation
from radio.modem.layout import burst_symbols, max_blocks
from radio.modem.mcs import McsTable
from radio.numerology import Numerology

HEADROOM_DB = 3.0
"""Power is taken back only from what exceeds the top MCS's need by more than this."""
QUADRATURE_NODES = 24
LOWEST_SNR_DB = -25.0
HIGHEST_SNR_DB = 45.0
SNR_STEP_DB = 0.25

Sinr = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class RateTable:
    """What a client can send with k RBs; entry k - 1. Empty if it is not heard."""

    rate_bps: list[float]
    """Update payload, non-decreasing in k."""
    mcs: list[str]
    rb_used: list[int]
    """RBs worth using of the k (the power is better kept together); k or fewer."""


def effective_snr_db(sinr_db_per_rb: Sinr, mcs: str) -> float:
    """SNR of the flat channel with the same mean mutual information, dB."""
    return _effective_snr_db(np.asarray(sinr_db_per_rb, float), McsTable.load()[mcs].bits_per_symbol)


def choose_mcs(
    sinr_db_per_rb: Sinr, tables: LinkTables, target_block_error_rate: float, margin_db: float
) -> str | None:
    """The MCS of highest expected throughput that meets the target ``margin_db`` below the SINR; None: not heard."""
    best: str | None = None
    best_bits = 0.0
    for mcs in tables.mcs_names:
        snr_db = effective_snr_db(sinr_db_per_rb, mcs) - margin_db
        loss = tables.block_error_rate(mcs, snr_db)
        scheme = McsTable.load()[mcs]
        bits = scheme.bits_per_symbol * scheme.code_rate * (1.0 - loss)
        if loss <= target_block_error_rate and bits > best_bits:
            best, best_bits = mcs, bits
    return best


def goodput_bps(
    mcs: str,
    rb_start: int,
    rb_count: int,
    snr_db: float,
    numerology: Numerology,
    tables: LinkTables,
    payload_share: float = 1.0,
) -> float:
    """Update payload per second on the air in longest bursts, bit/s.

    Training, pilots, prefixes, CRC and lost blocks are paid for; ``payload_share`` is what fragment
    headers leave of the blocks' content.
    """
    blocks, air_s = _longest_burst(mcs, rb_start, rb_count, numerology)
    block_bits = 8 * McsTable.load()[mcs].block_bytes
    return blocks * block_bits * payload_share * (1.0 - tables.block_error_rate(mcs, snr_db)) / air_s


def rate_table(
    reference_sinr_db: Sinr,
    numerology: Numerology,
    tables: LinkTables,
    *,
    target_block_error_rate: float,
    margin_db: float,
    psd_cap_db: float,
    payload_share: float,
) -> RateTable:
    """Goodput with k = 1, 2, ... RBs of a client whose full-band, full-power SINR is ``reference_sinr_db``.

    ``reference_sinr_db``: one value per usable RB; the table goes up to their number. Where a grant will
    lie is not known yet, so every usable RB counts alike, and power spread over k RBs is
    10 log10(K / k) above the reference in each, at most ``psd_cap_db``.
    """
    reference = np.asarray(reference_sinr_db, float)
    table = RateTable([], [], [])
    best: tuple[float, str, int] | None = None
    for rb_count in range(1, len(reference) + 1):
        gain_db = min(10.0 * np.log10(numerology.rb_total / rb_count), psd_cap_db)
        sinr_db = reference + gain_db
        mcs = choose_mcs(sinr_db, tables, target_block_error_rate, margin_db)
        if mcs is not None:
            snr_db = effective_snr_db(sinr_db, mcs) - margin_db
            rate = goodput_bps(mcs, 0, rb_count, snr_db, numerology, tables, payload_share)
            if best is None or rate > best[0]:
                best = rate, mcs, rb_count
        if best is None:
            break  # more RBs only thin the power
        _append(table, *best)
    return table


def power_backoff_db(
    sinr_db_per_rb: Sinr, tables: LinkTables, target_block_error_rate: float, margin_db: float
) -> float:
    """How much the power may fall, dB: what the SINR exceeds the top MCS's need, margin and 3 dB headroom by."""
    top = tables.mcs_names[-1]
    need_db = tables.required_snr_db(top, target_block_error_rate) + margin_db + HEADROOM_DB
    return max(0.0, effective_snr_db(sinr_db_per_rb, top) - need_db)


def mutual_information(snr_db: NDArray[np.float64], bits_per_symbol: int) -> NDArray[np.float64]:
    """Bits per symbol that a Gray-mapped, bit-interleaved constellation carries over AWGN (Gauss-Hermite)."""
    constellation = Constellation.of(bits_per_symbol)
    dimensions = 1 if bits_per_symbol == 1 else 2
    # Scaled so that the real noise of one dimension has unit variance.
    amplitude = np.sqrt(2.0 * 10.0 ** (snr_db / 10.0))[:, None, None, None]
    levels = constellation.levels.astype(float)
    nodes, weights = _quadrature(QUADRATURE_NODES)
    received = amplitude * levels[None, :, None, None] + nodes[None, None, :, None]
    likelihood = np.exp(-0.5 * (received - amplitude * levels) ** 2 + 0.5 * nodes[None, None, :, None] ** 2)
    total = likelihood.sum(axis=3)
    information = np.zeros(len(snr_db))
    pattern = np.arange(len(levels))
    for bit in range(constellation.bits_per_dimension):
        same = (pattern[:, None] >> bit & 1) == (pattern[None, :] >> bit & 1)
        agreeing = np.einsum("slnp,lp->sln", likelihood, same.astype(float))
        information += 1.0 - np.mean(np.log2(total / agreeing) @ weights, axis=1)
    return dimensions * information


def _quadrature(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Hermite nodes and weights for a standard normal variable (Golub-Welsch)."""
    off_diagonal = np.sqrt(np.arange(1.0, nodes))
    values, vectors = np.linalg.eigh(np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1))
    return values, vectors[0] ** 2


def _append(table: RateTable, rate: float, mcs: str, rb_used: int) -> None:
    table.rate_bps.append(rate)
    table.mcs.append(mcs)
    table.rb_used.append(rb_used)


def _effective_snr_db(sinr_db: NDArray[np.float64], bits_per_symbol: int) -> float:
    snr_db, information = _information_curve(bits_per_symbol)
    mean = float(np.mean(np.interp(sinr_db, snr_db, information)))
    # The curve's flat end cannot be inverted: there the weakest RB is a safe answer.
    if mean >= information[-1] - 1e-6 * bits_per_symbol:
        return float(np.min(sinr_db))
    return float(np.interp(mean, information, snr_db))


@lru_cache(maxsize=8)
def _information_curve(bits_per_symbol: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    snr_db = np.arange(LOWEST_SNR_DB, HIGHEST_SNR_DB + SNR_STEP_DB, SNR_STEP_DB)
    information = mutual_information(snr_db, bits_per_symbol)
    # Quadrature rounding would make the flat end step back.
    return snr_db, np.maximum.accumulate(information)


@lru_cache(maxsize=4096)
def _longest_burst(mcs: str, rb_start: int, rb_count: int, numerology: Numerology) -> tuple[int, float]:
    """Blocks of the longest burst and its air time, s."""
    blocks = max_blocks(rb_start, rb_count, mcs, numerology)
    symbols = burst_symbols(rb_start, rb_count, mcs, blocks, numerology)
    return blocks, symbols * numerology.symbol_samples / numerology.sample_rate_hz
