"""Every rule of allocation through whole rounds: the real base station and clients, the radio without samples."""

import pytest
from labs import run_lab, tiny_experiment

from base_station.allocation.rules import ALLOCATORS
from base_station.store.run_store import RunStore
from protocol.configuration import NO_DEADLINE_S
from protocol.schemes import FIXED_SHARE_RULES

CLIENTS = 3
FAR_DB = 80.0
"""Attenuation through which no radio would hear anybody."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("allocations")


@pytest.mark.parametrize("rule", ALLOCATORS)
def test_two_rounds_with_every_allocation(directory, rule):
    channel = {"model": "rayleigh", "attenuation_db": FAR_DB if rule == "ideal" else 0.0}
    experiment = tiny_experiment(
        directory, CLIENTS, radio={"driver": "abstract"}, channel=channel, tsfa={"allocation": rule}
    )
    summary, progress = run_lab(experiment, directory / rule)
    with RunStore.read(directory / rule) as store:
        rounds, records = list(store.rounds()), list(store.clients())
    assert not progress.warnings
    assert summary["allocation"] == rule
    assert (f"{rule}, not TSFA" in progress.closing) == (rule != "tsfa")
    assert (f"Grants by {rule}" in (directory / rule / "report.html").read_text("utf-8")) == (rule != "tsfa")
    assert all(r.exact and r.payload_bits > 0 for r in rounds)
    # The record's queues go on as ever, whatever the grants follow.
    queues = {c.client: [2.0] for c in records}
    for c in records:
        queues[c.client].append(c.queue_s)
        assert c.queue_s == pytest.approx(max(queues[c.client][-2] + c.latency_s - 2.0, 0.0))
        assert c.latency_s <= experiment.deadline_s
    if rule == "ideal":
        assert experiment.deadline_s == NO_DEADLINE_S
        assert all(c.state == "delivered" and c.bits_granted == c.bits_requested for c in records)
        assert all((c.blocks_failed, c.rb_count) == (0, 28) for c in records)
    elif rule in FIXED_SHARE_RULES:
        assert all(c.bits_granted <= 0.1 * c.bits_requested * (1 + 1e-9) for c in records)
    elif rule == "best-k":
        assert {sum(c.rb_count > 0 for c in records if c.round_index == t) for t in (1, 2)} <= {1, 2}
