"""Faults that experiments switch on, applied to what a simulated radio reports."""

from __future__ import annotations

import msgspec

from protocol.bursts import BurstReport, Window
from protocol.configuration import Experiment
from radio.channel.draws import lost_blocks


def without_lost_blocks(experiment: Experiment, window: Window, report: BurstReport) -> BurstReport:
    """``report`` without the blocks that ``channel.lost_block_rate`` discards."""
    if experiment.channel.lost_block_rate == 0.0:
        return report
    lost = lost_blocks(experiment, window, report.client, len(report.blocks))
    blocks = [None if gone else block for block, gone in zip(report.blocks, lost, strict=True)]
    return msgspec.structs.replace(report, blocks=blocks)
