"""The round from both sides, over real sockets and a real simulated radio, with a tiny model."""

import sqlite3

import msgspec
import numpy as np
import pytest
from labs import assert_same_run, run_lab, tiny_experiment

import edge_client.trainer
from base_station.report.received import received_bursts
from base_station.state import ServerState
from base_station.store.listing import run_line
from base_station.store.run_store import RunStore
from edge_client.memory import RoundMemory
from protocol.adapters import adapter_from_bytes
from protocol.errors import RunError
from protocol.update.fragments import cut_fragments, join_fragments
from radio.arq import delivered_indices
from radio.numerology import DEFAULT_2MSPS
from radio.recordings import recording_name


def final_state(run_dir):
    with RunStore.read(run_dir) as store:
        round_index, state, adapter = store.last_committed()
        return round_index, ServerState.from_bytes(state), adapter_from_bytes(adapter)[0]


def residual_of(experiment, run_dir, name, participation):
    """Independent of the client's own code path: update wanted minus what the base station says arrived."""
    remembered = RoundMemory(run_dir / "clients" / name).recall(participation.round_index)
    delivered = delivered_indices(participation.delivered, participation.fragments)
    if not delivered:
        return remembered.delta
    pieces = cut_fragments(remembered.file, experiment.radio.fragment_bytes, remembered.base)
    decoded = join_fragments(
        {i: pieces[i] for i in delivered}, payload_bytes=len(remembered.file),
        fragment_bytes=experiment.radio.fragment_bytes, base=remembered.base, quant_bits=experiment.soft.quant_bits,
    )  # fmt: skip
    return {k: remembered.delta[k] - decoded.delta[k] for k in remembered.delta}


@pytest.fixture
def recorded_training(monkeypatch):
    """Sum over rounds of trained - started, by client."""
    sums = {}
    original = edge_client.trainer.LocalTrainer.train

    def train(self, adapter, round_index):
        trained = original(self, adapter, round_index)
        total = sums.setdefault(self._name, {k: np.zeros(v.shape) for k, v in adapter.items()})
        for k, v in adapter.items():
            total[k] += trained.adapter[k].astype(np.float64) - v
        return trained

    monkeypatch.setattr(edge_client.trainer.LocalTrainer, "train", train)
    return sums


@pytest.mark.parametrize("lost_block_rate", [0.0, 0.5])
def test_committed_updates_and_residuals_are_everything_trained(tmp_path, recorded_training, lost_block_rate):
    experiment = tiny_experiment(
        tmp_path, experiment={"rounds": 3}, channel={"lost_block_rate": lost_block_rate}, radio={"max_passes": 2}
    )
    summary, _ = run_lab(experiment, tmp_path / "run")
    _, state, adapter = final_state(tmp_path / "run")
    with RunStore.read(tmp_path / "run") as store:
        records = list(store.clients())
    weights = {r.client: r.weight for r in records}
    assert all(r.weight == weights[r.client] > 0 for r in records)
    first = RoundMemory(tmp_path / "run" / "clients" / "edge-1")
    assert summary["rounds"] == 3
    residuals = {n: residual_of(experiment, tmp_path / "run", n, p) for n, p in state.participations.items()}
    initial = initial_adapter(experiment)
    for key, value in adapter.items():
        trained = sum(weights[n] * recorded_training[n][key] for n in weights)
        kept = sum(weights[n] * residuals[n][key].astype(np.float64) for n in weights)
        np.testing.assert_allclose(value - initial[key] + kept, trained, atol=2e-6)
    assert first.recall(3) is not None
    if lost_block_rate:
        assert sum(r.blocks_failed for r in records) > 0.3 * sum(r.blocks_sent for r in records)
        offsets = {(r.round_index, r.client): r.link_offset_db for r in records}
        assert all(offsets[1, n] == 1.0 for n in weights)
        assert sum(offsets[3, n] for n in weights) > len(weights)  # a burst of few blocks may lose none by chance


def initial_adapter(experiment):
    from learning.data import load_dataset
    from learning.model import build_model

    return build_model(experiment, len(load_dataset(experiment).class_names)).get_adapter()


def test_sixty_db_of_attenuation_leave_the_model_as_it_was_and_say_why(tmp_path, recorded_training):
    experiment = tiny_experiment(tmp_path, channel={"attenuation_db": 60.0})
    summary, progress = run_lab(experiment, tmp_path / "run")
    _, state, adapter = final_state(tmp_path / "run")
    initial = initial_adapter(experiment)
    assert all(np.array_equal(adapter[k], initial[k]) for k in initial)
    assert summary["uplink_payload_bits"] == 0
    for name, participation in state.participations.items():
        residual = residual_of(experiment, tmp_path / "run", name, participation)
        for key, value in residual.items():
            np.testing.assert_allclose(value, recorded_training[name][key], atol=2e-6)
    assert "no client was heard" in progress.closing
    assert all("no client was heard" in r.note for r in progress.rounds)


def test_flipped_bits_in_the_ether_fail_their_crc_and_change_nothing(tmp_path):
    # At a low SNR a block spans more symbols than can be left alone by chance.
    members = [{"name": "edge-1", "mean_snr_db": 4.0}, {"name": "edge-2", "mean_snr_db": 6.0}]
    experiment = tiny_experiment(
        tmp_path, channel={"inverted_fraction": 0.5}, experiment={"rounds": 1}, radio={"keep_failed_iq": True},
        clients={"members": members},
    )  # fmt: skip
    _, progress = run_lab(experiment, tmp_path / "run")
    _, _, adapter = final_state(tmp_path / "run")
    with RunStore.read(tmp_path / "run") as store:
        records = list(store.clients())
    assert sum(r.blocks_sent for r in records) > 0
    assert all(r.blocks_failed == r.blocks_sent and r.fragments_delivered == 0 for r in records)
    initial = initial_adapter(experiment)
    assert all(np.array_equal(adapter[k], initial[k]) for k in initial)
    assert "code blocks failed their CRC" in progress.rounds[0].note
    bursts = recorded_bursts(tmp_path / "run")
    failed = [b.record for b in bursts if b.record.blocks_failed or not b.record.detected]
    kept = {path.stem for path in (tmp_path / "run" / "iq").glob("*.sigmf-meta")}
    assert kept == {recording_name(1, r.client, r.window_index) for r in failed}


def recorded_bursts(run_dir):
    """Bursts of round 1, after a check that what they looked like is all there."""
    with RunStore.read(run_dir) as store:
        bursts, spectra = received_bursts(store, 1), list(store.spectra(1))
    assert {b.record.kind for b in bursts} == {"acquisition", "sounding", "data"}
    assert {s.window_index for s in spectra} == {0} | {b.record.window_index for b in bursts}
    assert all(len(s.psd) == 512 for s in spectra)
    for burst in (b for b in bursts if b.record.detected):
        assert len(burst.points) == 256
        assert len(burst.sinr_db) == burst.record.rb_count
        assert len(burst.channel_db) == len(burst.frequencies_khz(DEFAULT_2MSPS))
        if burst.record.kind != "data":  # in flipped data next to nothing of the signal is left to measure
            assert np.median(burst.sinr_db) == pytest.approx(burst.record.snr_db, abs=4.0)
        assert (sum(burst.soft_bits) > 1000) == (burst.record.kind == "data")
    return bursts


def run_unbroken_and_resumed(tmp_path, unbroken):
    """Three rounds at once, and two rounds resumed for a third."""
    run_lab(unbroken, tmp_path / "unbroken")
    shorter = msgspec.structs.replace(unbroken, experiment=msgspec.structs.replace(unbroken.experiment, rounds=2))
    run_lab(shorter, tmp_path / "broken")
    text = (tmp_path / "broken" / "config.toml").read_text()
    (tmp_path / "broken" / "config.toml").write_text(text.replace("rounds = 2", "rounds = 3"))
    with sqlite3.connect(tmp_path / "broken" / "run.sqlite") as database:
        database.execute("DELETE FROM facts WHERE name IN ('finished', 'summary')")
    run_lab(unbroken, tmp_path / "broken", resume=True)


def test_a_resumed_run_and_an_unbroken_one_agree(tmp_path):
    run_unbroken_and_resumed(tmp_path, tiny_experiment(tmp_path, experiment={"rounds": 3}))
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


def test_a_resumed_run_has_the_same_folded_weights_and_says_them_anew(tmp_path):
    tables = {"training": {"aggregation": "exact-fold"}, "radio": {"driver": "abstract"}}
    run_unbroken_and_resumed(tmp_path, tiny_experiment(tmp_path, experiment={"rounds": 3}, **tables))
    adapters, bits = [], []
    for name in ("unbroken", "broken"):
        with RunStore.read(tmp_path / name) as store:
            adapters.append(store.last_committed()[2])
            bits.append([r.downlink_bits for r in store.rounds()])
    assert adapters[0] == adapters[1]
    assert any(name.endswith(".folded.weight") for name in adapter_from_bytes(adapters[0])[0])
    assert bits[0][:2] == bits[1][:2]
    assert bits[0][2] < bits[1][2]


@pytest.mark.parametrize(
    ("aggregation", "compression", "residual"),
    [
        ("freeze-a", "factor-top-k", "off"), ("alternate", "svd", "on"), ("exact-drop", "soft", "on"),
        ("exact-fold", "svd", "on"), ("separate", "dense", "off"), ("separate", "magnitude-top-k", "on"),
    ],
)  # fmt: skip
def test_the_other_aggregations_and_compressions_learn(tmp_path, aggregation, compression, residual):
    experiment = tiny_experiment(
        tmp_path,
        client_count=3,
        experiment={"rounds": 3},
        training={"aggregation": aggregation, "local_steps": 10, "learning_rate": 0.02},
        soft={"compression": compression, "residual": residual},
        tsfa={"latency_model": "round"},
        radio={"driver": "abstract"},
    )  # fmt: skip
    summary, progress = run_lab(experiment, tmp_path / "run")
    with RunStore.read(tmp_path / "run") as store:
        rounds, clients = list(store.rounds()), list(store.clients())
    assert not progress.warnings
    assert rounds[-1].loss < rounds[0].loss
    assert summary["uplink_payload_bits"] > 0
    assert all(r.covariance == 0.0 for r in rounds) == (aggregation != "separate")
    assert all(c.residual_energy == 0.0 for c in clients) == (residual == "off")
    assert any(c.residual_lost_energy > 0.0 for c in clients) == ("exact" in aggregation and residual == "on")
    # The first round's rest reaches nobody before the second plan.
    bits = [r.downlink_bits for r in rounds]
    assert all(later > bits[0] for later in bits[1:]) == (aggregation == "exact-fold")
    assert any(r.aggregation_dropped > 0.0 for r in rounds) == (aggregation == "exact-drop")


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    experiment = tiny_experiment(tmp_path, experiment={"rounds": 1})
    first, _ = run_lab(experiment, tmp_path / "run")
    before = (tmp_path / "run" / "run.sqlite").read_bytes()
    again, progress = run_lab(experiment, tmp_path / "run", resume=True)
    assert again == first
    assert "complete" in progress.closing
    assert (tmp_path / "run" / "run.sqlite").read_bytes() == before


def test_a_run_is_not_gone_on_with_on_other_texts(tmp_path):
    experiment = tiny_experiment(tmp_path, experiment={"rounds": 1}, radio={"driver": "abstract"})
    run_lab(experiment, tmp_path / "run")
    # As many texts with the same labels: the split is the same.
    table = tmp_path / "train.csv"
    table.write_text("\n".join(f"good {line}" if i else line for i, line in enumerate(table.read_text().splitlines())))
    with pytest.raises(RunError, match=r"run: what data\.path names has changed since the run was started"):
        run_lab(experiment, tmp_path / "run", resume=True)


def test_a_late_client_is_left_out_and_holds_the_others_until_the_ready_deadline(tmp_path):
    members = [{"name": "edge-1", "mean_snr_db": 20.0}, {"name": "edge-2", "mean_snr_db": 20.0, "compute_scale": 50.0}]
    experiment = tiny_experiment(tmp_path, experiment={"rounds": 2}, clients={"members": members})
    run_lab(experiment, tmp_path / "run")
    with RunStore.read(tmp_path / "run") as store:
        records = {(r.round_index, r.client): r for r in store.clients()}
        rounds = list(store.rounds())
    assert [records[t, "edge-2"].state for t in (1, 2)] == ["late", "late"]
    assert records[1, "edge-1"].weight == 1.0
    assert all(r.barrier_s >= experiment.ready_deadline_s for r in rounds)
    assert records[1, "edge-2"].latency_s == experiment.deadline_s
    assert records[2, "edge-2"].residual_energy > 0.0


def test_a_run_without_samples_is_the_same_round_and_says_no_iq_wherever_it_is_shown(tmp_path):
    radio = {"driver": "abstract", "max_passes": 3}
    summaries, progress = {}, {}
    for name in ("one", "again"):
        directory = tmp_path / name
        directory.mkdir()
        experiment = tiny_experiment(directory, experiment={"rounds": 2}, radio=radio)
        summaries[name], progress[name] = run_lab(experiment, directory / "run")
    with RunStore.read(tmp_path / "one" / "run") as store:
        delivered = [c for c in store.clients() if c.state in ("delivered", "partial")]
        assert len(delivered) >= 3
        assert all(c.airtime_s > 0.0 and c.sinr_db and c.mcs for c in delivered)
    assert_same_run(tmp_path / "one" / "run", tmp_path / "again" / "run")
    assert summaries["one"]["iq"] is False
    assert run_line(tmp_path / "one" / "run").iq is False
    assert "no IQ" in (tmp_path / "one" / "run" / "report.html").read_text("utf-8")
