"""What a channel is worth: effective SNR, MCS choice and goodput of grants.

Pure functions of measured SINR and the link tables. A channel that differs over its RBs enters through
the mean mutual information of the constellation (bit-interleaved, Gray mapped): the effective SNR is
the one at which a flat channel carries as much. Source: mutual-information effective SNR mapping as
in the link-to-system literature; the tables and the rest are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radio.link_tables import SMALLEST_RATE, LinkTables
from radio.modem.constellations import Constellation
from radio.modem.layout import burst_symbols, max_blocks
from radio.modem.mcs import McsTable
from radio.numerology import Numerology

if TYPE_CHECKING:
    from radio.rate_kernels import Curves, Schemes

HEADROOM_DB = 3.0
"""Power is taken back only from what exceeds the top MCS's need by more than this."""
QUADRATURE_NODES = 24
LOWEST_SNR_DB = -25.0
HIGHEST_SNR_DB = 45.0
SNR_STEP_DB = 0.25
_SATURATED = 1e-6
"""Information that is missing to a curve's end, per bit of a symbol: less cannot be inverted."""

Sinr = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class LinkRule:
    """How an MCS is chosen: of those that lose at most the target, the one with the highest goodput."""

    tables: LinkTables
    numerology: Numerology
    target_block_error_rate: float
    payload_share: float = 1.0
    """What fragment headers leave of the blocks' content."""


@dataclass(frozen=True, eq=False)
class Grants:
    """Contiguous grants and the SINR over their RBs, for all of them at once."""

    rb_start: NDArray[np.int64]
    """(P,), as is ``rb_count``."""
    rb_count: NDArray[np.int64]
    sinr_db: NDArray[np.float64]
    """RB after RB of grant after grant, the same number of values (at least one) in every RB."""

    @staticmethod
    def one(rb_start: int, rb_count: int, sinr_db: Sinr) -> Grants:
        """A single grant."""
        return Grants(np.array([rb_start]), np.array([rb_count]), np.asarray(sinr_db, float))

    def at(self, gain_db: float) -> Grants:
        """The same grants with ``gain_db`` more power."""
        return replace(self, sinr_db=self.sinr_db + gain_db) if gain_db else self

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over each grant's values, (P,)."""
        size = self._values_per_rb * self.rb_count
        total: NDArray[np.float64] = np.add.reduceat(values, self.ends - size)
        return total / size

    def effective_snr_db(self, bits_per_symbol: int, shift_db: float = 0.0) -> NDArray[np.float64]:
        """SNR of the flat channels with the same mean mutual information, dB, (P,); averaged ``shift_db`` higher."""
        from radio.rate_kernels import effective_snrs_db  # numba: loaded with the first rate

        return effective_snrs_db(self.sinr_db, self.ends, 0, _curves(((bits_per_symbol, shift_db),)))

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each grant's values end among all, (P,)."""
        if len(self.rb_count) == 1:
            return np.array([len(self.sinr_db)])
        return self._values_per_rb * np.cumsum(self.rb_count)

    @property
    def _values_per_rb(self) -> int:
        return len(self.sinr_db) // int(self.rb_count.sum())


def effective_snr_db(sinr_db: Sinr, mcs: str) -> float:
    """SNR of the flat channel with the same mean mutual information, dB; ``sinr_db``: evenly over the grant."""
    return float(_scheme_snr_db(Grants.one(0, len(sinr_db), sinr_db), mcs)[0])


def _scheme_snr_db(grants: Grants, mcs: str) -> NDArray[np.float64]:
    scheme = McsTable.load()[mcs]
    return grants.effective_snr_db(scheme.bits_per_symbol, scheme.selectivity_shift_db)


def expected_goodput_bps(
    rule: LinkRule, grants: Grants, offset_db: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Goodput of each grant with each MCS of ``rule.tables``, bit/s, and the share of blocks lost, (M, P) each.

    The SNR is taken to be ``offset_db`` lower than measured. Goodput is update payload per second on the air in
    longest bursts: training, pilots, prefixes, CRC and lost blocks are paid for; 0: no block fits a burst.
    """
    names = rule.tables.mcs_names
    kinds, kind_of = _kinds(names)
    snr_db = np.stack([grants.effective_snr_db(*kind) for kind in kinds])[kind_of] - offset_db
    lost = np.stack([rule.tables.block_error_rates(mcs, row) for mcs, row in zip(names, snr_db, strict=True)])
    return lossless_bps(rule, grants) * (1.0 - lost), lost


def lossless_bps(rule: LinkRule, grants: Grants) -> NDArray[np.float64]:
    """What ``expected_goodput_bps`` would be if nothing were lost, (M, P)."""
    by_place = _block_payload_bps(rule.tables.mcs_names, rule.numerology)
    return rule.payload_share * by_place[:, grants.rb_count - 1, grants.rb_start]


def best_mcs(rule: LinkRule, grants: Grants, offset_db: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Goodput of each grant with its best MCS, bit/s, and that MCS's place in ``rule.tables``, (P,) each.

    Rate 0: no MCS meets the target at the SINR less ``offset_db``, or none has blocks that fit a burst.
    """
    from radio.rate_kernels import best_schemes  # numba: loaded with the first rate

    kinds, _ = _kinds(rule.tables.mcs_names)
    schemes = _schemes(rule.tables, rule.numerology, rule.target_block_error_rate, rule.payload_share)
    return best_schemes(
        grants.sinr_db, grants.ends, grants.rb_start, grants.rb_count, float(offset_db), schemes, _curves(tuple(kinds)),
        rule.tables.knots,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _schemes(tables: LinkTables, numerology: Numerology, target: float, payload_share: float) -> Schemes:
    from radio.rate_kernels import Schemes

    names = tables.mcs_names
    return Schemes(
        lossless_bps=np.ascontiguousarray(payload_share * _block_payload_bps(names, numerology).transpose(1, 2, 0)),
        usable_db=tables.usable_from_db(target),
        constellation=np.array(_kinds(names)[1]),
        target=target,
        smallest_rate=SMALLEST_RATE,
    )


@lru_cache(maxsize=32)
def _curves(kinds: tuple[tuple[int, float], ...]) -> Curves:
    """Of constellations by bits per symbol and shift."""
    from radio.rate_kernels import Curves

    bits = np.array([bits for bits, _ in kinds])
    shift_db = np.array([shift_db for _, shift_db in kinds])
    curves = [_information_curve(int(count)) for count in bits]
    snr_db = np.array([snr_db for snr_db, _ in curves]) - shift_db[:, None]
    information = np.array([information for _, information in curves])
    return Curves(
        snr_db=snr_db,
        information=information,
        slope=np.diff(information) / np.diff(snr_db),
        saturated=information[:, -1] - _SATURATED * bits,
    )


@lru_cache(maxsize=8)
def _kinds(names: tuple[str, ...]) -> tuple[list[tuple[int, float]], list[int]]:
    """The constellations (bits per symbol and shift) there are, and which is whose."""
    table = McsTable.load()
    own = [(table[mcs].bits_per_symbol, table[mcs].selectivity_shift_db) for mcs in names]
    kinds = sorted(set(own))
    return kinds, [kinds.index(kind) for kind in own]


def choose_mcs(rule: LinkRule, grant: Grants, offset_db: float) -> str | None:
    """The best MCS of one grant at its SINR less ``offset_db``; None: none meets the target."""
    rate_bps, best = best_mcs(rule, grant, offset_db)
    return rule.tables.mcs_names[best[0]] if rate_bps[0] > 0.0 else None


def most_robust_mcs(rule: LinkRule, grant: Grants) -> str:
    """The first MCS of the ladder of which a block fits a burst over the RBs of one grant."""
    return rule.tables.mcs_names[int(np.argmax(lossless_bps(rule, grant)[:, 0] > 0.0))]


def excess_db(rule: LinkRule, mcs: str, grant: Grants, offset_db: float) -> float:
    """What the SINR of one grant less ``offset_db`` exceeds the need of ``mcs`` at the target by, dB."""
    need_db = rule.tables.required_snr_db(mcs, rule.target_block_error_rate)
    snr_db = float(_scheme_snr_db(grant, mcs)[0])
    return snr_db - offset_db - need_db


def power_backoff_db(rule: LinkRule, grant: Grants, offset_db: float) -> float:
    """How much the power may fall, dB: what the SINR exceeds the top MCS's need, offset and 3 dB headroom by."""
    return max(0.0, excess_db(rule, rule.tables.mcs_names[-1], grant, offset_db) - HEADROOM_DB)


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


@lru_cache(maxsize=8)
def _information_curve(bits_per_symbol: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    snr_db = np.arange(LOWEST_SNR_DB, HIGHEST_SNR_DB + SNR_STEP_DB, SNR_STEP_DB)
    information = mutual_information(snr_db, bits_per_symbol)
    # Quadrature rounding would make the flat end step back.
    return snr_db, np.maximum.accumulate(information)


@lru_cache(maxsize=8)
def _block_payload_bps(names: tuple[str, ...], numerology: Numerology) -> NDArray[np.float64]:
    """Block payload per second of every (MCS, RBs - 1, start) in its longest burst; 0 where no block fits."""
    total = numerology.rb_total
    rates = np.zeros((len(names), total, total))
    for rb_count in range(1, total + 1):
        by_width: dict[int, NDArray[np.float64]] = {}
        for rb_start in range(total - rb_count + 1):
            # All that the place changes is how many of the carrier's subcarriers lie inside.
            width = len(numerology.loaded_subcarriers(rb_start, rb_count))
            if width not in by_width:
                by_width[width] = np.array([_longest_burst_bps(mcs, rb_start, rb_count, numerology) for mcs in names])
            rates[:, rb_count - 1, rb_start] = by_width[width]
    return rates


def _longest_burst_bps(mcs: str, rb_start: int, rb_count: int, numerology: Numerology) -> float:
    blocks = max_blocks(rb_start, rb_count, mcs, numerology)
    if blocks == 0:
        return 0.0
    symbols = burst_symbols(rb_start, rb_count, mcs, blocks, numerology)
    air_s = symbols * numerology.symbol_samples / numerology.sample_rate_hz
    return 8 * McsTable.load()[mcs].block_bytes * blocks / air_s
