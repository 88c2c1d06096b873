"""The whole simulated radio at 4 Msps: real flowgraphs, grants beyond the band that 2 Msps have."""

from __future__ import annotations

import numpy as np
import pytest
from radio_lab import RadioLab, lab_experiment, random_blocks

from protocol.bursts import DataBurst
from radio.channel.levels import path_gain_db, reference_snr_db


@pytest.fixture(scope="module")
def lab():
    lab = RadioLab(lab_experiment((14.0, 20.0), radio={"sample_rate_hz": 4e6}))
    yield lab
    lab.close()


def test_two_clients_at_once_deliver_their_blocks_over_the_wider_band(lab):
    grants = {"c0": (1, 12, "qpsk-1/2", 8), "c1": (40, 16, "16qam-1/2", 12)}
    bursts = [
        DataBurst(name, 70, start, count, mcs, list(range(blocks)), tx_gain_db=0.0, **lab.corrections(name))
        for name, (start, count, mcs, blocks) in grants.items()
    ]
    blocks = [random_blocks(i, len(burst.block_ids)) for i, burst in enumerate(bursts)]
    report, sent = lab.hear("data", bursts, blocks)
    assert [burst.blocks for burst in report.bursts] == blocks
    for burst, member, one in zip(report.bursts, lab.experiment.clients.members, sent, strict=True):
        spread_db = 10.0 * np.log10(56 / len(burst.sinr_db))
        assert np.mean(burst.gain_db) == pytest.approx(path_gain_db(lab.experiment, member), abs=0.5)
        assert burst.snr_db == pytest.approx(reference_snr_db(lab.experiment, member) + spread_db, abs=1.0)
        assert one.energy_j == pytest.approx(0.01 * one.air_samples / 4e6)


def test_a_silent_window_shows_every_resource_block(lab):
    report, _ = lab.hear("silent")
    assert len(report.noise_db) == 56
    assert np.ptp(report.noise_db) < 3.0
