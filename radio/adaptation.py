"""Outer-loop link adaptation: from what became of a client's blocks to its next MCS and power.

Measured SINR, mapping and link tables are all a little wrong. What they are wrong by in the long run is the
*offset* taken off the SINR before an MCS is chosen. Blocks sent for the first time move it: by losses up, by
successes down, so that it stands still where the share of lost blocks is the target. Retransmissions do not
count (they may have been combined with what was kept), nor does a burst that was not even detected: which MCS
it had made no difference.

Within a round the channel stays as it is, so a burst that lost most of its blocks shows that this round's SINR
is below its MCS's need: for the rest of the round the SINR counts as just below that.

Sans-IO. Source: outer-loop link adaptation as in the literature on LTE; steps by bursts and the rest are ours.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from radio.rates import Grants, LinkRule, choose_mcs, excess_db, most_robust_mcs, power_backoff_db

STEP_DB = 0.5
"""A burst of usual length that was lost raises the offset by (1 - target) of this."""
LARGEST_OFFSET_DB = 10.0
LARGEST_WEIGHT = 3.0
"""A burst counts by its blocks over the usual number, at most this much."""
MEMORY = 1.0 / 16.0
"""Share of the newest burst in the usual number of blocks."""
EASY_DB = 2.0
"""Beyond the top MCS's need by more than this: a success says nothing about the offset."""
BAD_SHARE = 0.5
"""A burst that lost more than this share of its blocks is bad."""
BELOW_NEED_DB = 0.01


class LinkState(Struct, frozen=True):
    """What is known of a client's link from round to round."""

    offset_db: float
    """Taken off the measured SINR."""
    burst_blocks: float = 0.0
    """Running mean of the blocks of a burst; 0 before the first."""


def after_burst(
    state: LinkState, blocks: int, failed: int, target_block_error_rate: float, floor_db: float = -LARGEST_OFFSET_DB
) -> LinkState:
    """The state after a burst of ``blocks`` first transmissions of which ``failed`` were lost.

    Successes lower the offset at most to ``floor_db``.
    """
    usual = state.burst_blocks or float(blocks)
    weight = min(blocks / usual, LARGEST_WEIGHT)
    moved_db = state.offset_db + STEP_DB * weight * (failed / blocks - target_block_error_rate)
    if moved_db < state.offset_db:
        moved_db = max(moved_db, min(floor_db, state.offset_db))
    offset_db = min(max(moved_db, -LARGEST_OFFSET_DB), LARGEST_OFFSET_DB)
    return LinkState(offset_db, usual + MEMORY * (blocks - usual))


def after_silence(state: LinkState, target_block_error_rate: float, initial_offset_db: float) -> LinkState:
    """The state of a client that was heard but too weak for any MCS: a high offset must not keep it out for ever.

    It falls as after a good burst, at most to ``initial_offset_db``.
    """
    fallen_db = max(state.offset_db - STEP_DB * target_block_error_rate, initial_offset_db)
    return replace(state, offset_db=min(state.offset_db, fallen_db))


class GrantLink:
    """MCS and power of one client's bursts over one grant of one round."""

    def __init__(self, rule: LinkRule, state: LinkState, grant: Grants, initial_offset_db: float) -> None:
        """``grant``: one, its SINR that at the most power it may have."""
        self.state = state
        self._rule = rule
        self.grant = grant
        self._initial_offset_db = initial_offset_db
        self._evidence_db = -LARGEST_OFFSET_DB
        self._choose()

    @property
    def offset_db(self) -> float:
        """Taken off the SINR for the next burst."""
        return max(self.state.offset_db, self._evidence_db)

    def burst_done(self, blocks: int, failed: int, *, first: bool, detected: bool) -> None:
        """Take in the outcome of a burst with the present MCS; ``first``: its blocks had not been sent before."""
        if not detected:
            return
        used_db, excess = self.offset_db, self._excess_db
        if first:
            easy = self.mcs == self._rule.tables.mcs_names[-1] and excess > EASY_DB
            floor_db = self._initial_offset_db if easy else -LARGEST_OFFSET_DB
            self.state = after_burst(self.state, blocks, failed, self._rule.target_block_error_rate, floor_db)
        if failed > BAD_SHARE * blocks:
            self._evidence_db = max(self._evidence_db, used_db + excess + BELOW_NEED_DB)
        if self.offset_db != used_db:
            self._choose()

    def _choose(self) -> None:
        """Power first: it falls only where even the top MCS has more than it needs."""
        self.backoff_db = power_backoff_db(self._rule, self.grant, self.offset_db)
        mcs = choose_mcs(self._rule, self.grant.at(-self.backoff_db), self.offset_db)
        self.mcs = mcs or most_robust_mcs(self._rule, self.grant)
        self._excess_db = excess_db(self._rule, self.mcs, self.grant.at(-self.backoff_db), self.offset_db)
