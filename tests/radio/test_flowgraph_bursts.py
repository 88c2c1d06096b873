"""Link simulation filters bursts with plain arithmetic; the flowgraphs must decode the very same blocks."""

from __future__ import annotations

import pytest

from radio.channel.resampling import resample
from radio.flowgraphs.filters import transmit_taps
from radio.flowgraphs.receive import receive_branches
from radio.flowgraphs.transmit import transmit_samples
from radio.modem import burst_decimation, modulate, receive, trial
from radio.simulation.burst import simulate_burst
from radio.simulation.scenario import NUMEROLOGY, Point, Scenario

BURSTS_PER_WIDTH = 50
BLOCKS = 2


def transmitted_by_flowgraph(burst, blocks, numerology, start, clock_ppm=0.0, tail=1500, transmitter=trial.unchanged):
    """``trial.transmitted``, with the transmit flowgraph where that filters and shifts."""
    baseband = modulate(burst, blocks, numerology)
    drift = 1e-6 * clock_ppm
    whole, fraction = divmod(start * (1.0 + drift), 1.0)
    delay = (len(transmit_taps(numerology, burst)) - 1) // 2
    on_air = (len(baseband) - 1) * burst_decimation(burst, numerology) + 1
    n_samples = int(whole) + on_air + delay + tail
    # A little longer than needed: the flowgraph wants room for the zeros that fill up its last branch sample.
    window = transmit_samples(burst, baseband, numerology, int(whole), n_samples + 8)
    return resample(transmitter(window[:n_samples]), drift, -fraction)


def branch_by_flowgraph(burst, stream, numerology):
    """``trial.branch`` by the receive flowgraph."""
    return receive_branches([burst], stream, numerology)[0]


def decoded(scenario, point, monkeypatch):
    """Blocks of each burst as received: content, or None."""
    found = []

    def recording_receive(burst, samples, numerology):
        report = receive(burst, samples, numerology)
        found.append(report.blocks)
        return report

    monkeypatch.setattr("radio.simulation.burst.receive", recording_receive)
    for index in range(BURSTS_PER_WIDTH):
        simulate_burst(scenario, point, index)
    return found


@pytest.mark.parametrize(("rb_count", "decimation"), [(2, 8), (7, 4), (14, 2), (28, 1)])
def test_fifty_bursts_through_the_flowgraphs_decode_the_same_blocks(rb_count, decimation, monkeypatch):
    scenario = Scenario(codec="convolutional", rb_count=rb_count, payload_bits=BLOCKS * 252 * 8)
    assert NUMEROLOGY.decimation(rb_count) == decimation
    point = Point(2.8 - scenario.loaded_gain_db, "qpsk-1/2")
    plain = decoded(scenario, point, monkeypatch)
    monkeypatch.setattr(trial, "transmitted", transmitted_by_flowgraph)
    monkeypatch.setattr(trial, "branch", branch_by_flowgraph)
    through_flowgraphs = decoded(scenario, point, monkeypatch)
    blocks = [block for burst in plain for block in burst]
    assert len(blocks) == BURSTS_PER_WIDTH * BLOCKS
    # Some arrive and some do not: at this SNR a small difference would show.
    assert 0.1 < sum(block is None for block in blocks) / len(blocks) < 0.9
    assert through_flowgraphs == plain
