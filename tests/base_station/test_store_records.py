"""What the store keeps of a record, its configuration file, exports, listing and closing figures."""

import csv
import json
import math
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tomllib
from fake_run import fake_experiment, make_fake_run
from hypothesis import given
from hypothesis import strategies as st

from base_station.dense_reference import DenseChannel, DenseLink, DenseRound, dense_reference, equal_shares
from base_station.store.comparison import record_differences
from base_station.store.export import export_csv, export_parquet
from base_station.store.listing import list_runs
from base_station.store.provenance import provenance
from base_station.store.records import ClientRoundRecord, RoundRecord, SignalRecord
from base_station.store.run_store import RunStore
from base_station.store.schema import CLIENT_ROUNDS, ROUNDS
from base_station.store.signals import signal_record, unpacked
from base_station.store.summary import closing_lines, summary
from base_station.store.toml_text import toml_text
from protocol.bursts import BurstReport, Window
from protocol.errors import RunError
from protocol.experiment_file import experiment_to_dict, load_experiment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fake_run(tmp_path_factory.mktemp("runs") / "whole", clients=3, rounds=4)


def test_numpy_figures_and_missing_values_survive_the_database():
    record = ClientRoundRecord(
        round_index=np.int64(2), client="a", state="delivered", loss=np.float32(0.5), gain_db=math.nan, evm_db=None,
        sinr_db=list(np.array([1.5, math.nan])), residual_lost=True,
    )  # fmt: skip
    back = CLIENT_ROUNDS.load(CLIENT_ROUNDS.row(record))
    assert (back.round_index, back.loss, back.evm_db, back.residual_lost) == (2, 0.5, None, True)
    assert math.isnan(back.gain_db)
    assert back.sinr_db[0] == 1.5
    assert math.isnan(back.sinr_db[1])


def test_packed_signals_keep_what_a_picture_needs():
    rng = np.random.default_rng(3)
    points = (rng.normal(size=2000) + 1j * rng.normal(size=2000)).astype(np.complex64)
    gains_db = rng.uniform(-120, 40, 220).tolist()
    report = BurstReport("a", 1, True, constellation=points.tobytes(), channel_db=gains_db, sinr_db=[20.0, -400.0])
    record = signal_record(Window("s", 3, 7, "data", 1000), report)
    assert (record.round_index, record.window_index, record.client) == (3, 7, "a")
    kept = unpacked("constellation", record.constellation)
    nearest = np.abs(kept[:, None] - points[None, :]).min(axis=1)
    assert len(kept) == 256
    assert nearest.max() < 4e-3
    assert np.abs(unpacked("channel", record.channel) - gains_db).max() <= 0.00501
    assert unpacked("sinr", record.sinr).tolist() == [20.0, -327.67]
    assert len(record.constellation + record.channel + record.sinr) < 2048


def test_damaged_signals_are_told():
    with pytest.raises(RunError, match="stored constellation is damaged"):
        unpacked("constellation", b"123456")


def test_another_picture_of_a_burst_is_a_difference_between_runs(run, tmp_path):
    shutil.copytree(run, tmp_path / "other")
    assert record_differences(run, tmp_path / "other") == []
    with sqlite3.connect(tmp_path / "other" / "run.sqlite") as database:
        psd = np.frombuffer(database.execute("SELECT psd FROM spectra").fetchone()[0], "<i2").copy()
        for step in (1, 100):  # hundredths of dB
            psd[5] += step
            database.execute("UPDATE spectra SET psd = ? WHERE rowid = 1", (psd.tobytes(),))
            database.commit()
            differences = record_differences(run, tmp_path / "other")
            assert len(differences) == (step > 1)
    (difference,) = differences
    assert difference.startswith("spectra[0].psd: ")


def test_mappings_and_lists_survive_the_database():
    record = RoundRecord(round_index=1, barred_rbs=[3, 4], stage_wall_s={"train": 1.5, "uplink": 0.25})
    assert ROUNDS.load(ROUNDS.row(record)) == record


TOML_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab é.-", max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text("ab c.", max_size=3), TOML_VALUES, max_size=4))
def test_what_is_written_as_toml_is_read_back_the_same(values):
    assert tomllib.loads(toml_text(values)) == values


def test_the_configuration_of_a_run_loads_as_the_experiment_it_was(tmp_path):
    experiment = fake_experiment(5)
    path = tmp_path / "config.toml"
    path.write_text(toml_text(experiment_to_dict(experiment)))
    assert load_experiment(path) == experiment


def test_csv_export_equals_the_database(run, tmp_path):
    with RunStore.read(run) as store:
        export_csv(store, tmp_path)
    database = sqlite3.connect(run / "run.sqlite")
    for table in ("rounds", "client_rounds", "bursts"):
        cursor = database.execute(f"SELECT * FROM {table}")
        names = [c[0] for c in cursor.description]
        with (tmp_path / f"{table}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        expected = cursor.fetchall()
        assert len(rows) == len(expected) > 0
        for row, values in zip(rows, expected, strict=True):
            for name, value in zip(names, values, strict=True):
                assert _same(row[name], value), (table, name)


def _same(text: str, value: object) -> bool:
    if isinstance(value, int) and text in ("True", "False"):
        return bool(value) == (text == "True")
    if isinstance(value, int | float):
        return float(text) == value
    return text == ("" if value is None else value)


@pytest.mark.parametrize(("format", "export"), [("csv", export_csv), ("parquet", export_parquet)])
def test_the_documented_files_of_an_export_are_those_it_writes(run, tmp_path, format, export):
    _, _, documented = (ROOT / "docs" / "runs.md").read_text().partition("## Exports")
    (listed,) = re.findall(rf"^- {format}: (.*?\.)[ \n][A-Z]", documented, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    with RunStore.read(run) as store:
        written = export(store, tmp_path)
    assert re.findall(r"`(.+?)`", listed) == [path.name for path in written]


def test_parquet_export_keeps_types_and_lists(run, tmp_path):
    import pyarrow.parquet as pq

    with RunStore.read(run) as store:
        export_parquet(store, tmp_path)
        clients, signals = list(store.clients()), list(store.signals())
    table = pq.read_table(tmp_path / "client_rounds.parquet").to_pylist()
    assert [ClientRoundRecord(**row) for row in table] == clients
    assert [SignalRecord(**row) for row in pq.read_table(tmp_path / "signals.parquet").to_pylist()] == signals


def test_the_summary_agrees_with_the_database(run):
    with RunStore.read(run) as store:
        result = summary(store)
        lines = closing_lines(store, result)
    database = sqlite3.connect(run / "run.sqlite")
    rounds = database.execute("SELECT airtime_s, air_bits, payload_bits, stage_wall_s FROM rounds").fetchall()
    clients = database.execute("SELECT client, latency_s, sparsity, reference_snr_db, passes, sinr_db, weight, "
                               "unsent_energy, update_energy, fragments_delivered, round_index, fragments_forged "
                               "FROM client_rounds").fetchall()  # fmt: skip
    missed = database.execute("SELECT client FROM bursts WHERE detected = 0").fetchall()
    assert result["rounds"] == len(rounds) == 4
    assert result["airtime_s"] == pytest.approx(sum(r[0] for r in rounds))
    assert result["uplink_air_bits"] == sum(r[1] for r in rounds)
    assert result["uplink_payload_bits"] == sum(r[2] for r in rounds)
    assert result["stage_seconds"]["uplink"] == pytest.approx(sum(json.loads(r[3])["uplink"] for r in rounds))
    assert result["mean_latency_s"] == pytest.approx(np.mean([c[1] for c in clients if c[6] > 0]))
    for entry in result["clients"]:
        own = [c for c in clients if c[0] == entry["name"]]
        assert entry["mean_sparsity"] == pytest.approx(np.mean([c[2] for c in own]))
        assert entry["mean_snr_db"] == pytest.approx(np.mean([c[3] for c in own if json.loads(c[5])]))
        assert entry["retransmissions"] == sum(max(c[4] - 1, 0) for c in own)
        unsent, update, delivered = max(own, key=lambda c: c[10])[7:10]
        assert entry["residual_energy"] == (unsent if delivered else update)
        assert entry["bursts_missed"] == missed.count((entry["name"],))
        assert entry["fragments_forged"] == sum(c[11] for c in own)
    assert len(missed) > 0 < sum(c[11] for c in clients)
    assert result["final_accuracy_interval"] == [0.6241, 0.6658]
    assert "accuracy  0.645 on test texts (95 % interval 0.624 to 0.666)" in lines
    assert "before training 0.048 on validation texts" in lines
    assert "dense     LoRA at the same 8 bits" in lines


def test_the_manifest_names_the_versions_that_are_imported():
    versions = provenance()["versions"]
    assert versions["numpy"] == np.__version__
    assert versions["msgspec"] == msgspec.__version__


def test_a_run_without_rounds_has_a_summary(tmp_path):
    make_fake_run(tmp_path / "run", done=0)
    with RunStore.read(tmp_path / "run") as store:
        result = summary(store)
        assert result["rounds"] == 0
        assert result["mean_latency_s"] is None
        assert len(result["clients"]) == 4
        assert "not tested yet" in closing_lines(store, result)


def test_runs_are_listed_with_their_state(tmp_path):
    make_fake_run(tmp_path / "done", clients=1, rounds=2, signals=False)
    make_fake_run(tmp_path / "stopped", clients=1, rounds=3, done=1, signals=False)
    make_fake_run(tmp_path / "live", clients=1, rounds=3, done=1, signals=False)
    broken = make_fake_run(tmp_path / "broken", clients=1, rounds=3, done=0)
    (broken / "run.sqlite").write_bytes(b"x" * 5000)
    (tmp_path / "something else").mkdir()
    with RunStore.resume(tmp_path / "live"):
        lines = {line.name: line for line in list_runs(tmp_path)}
    assert {name: line.state for name, line in lines.items()} == {
        "done": "finished", "stopped": "stopped", "live": "running", "broken": "unreadable",
    }  # fmt: skip
    assert (lines["stopped"].rounds_done, lines["stopped"].rounds) == (1, 3)
    assert lines["done"].accuracy == 0.6452
    assert list_runs(tmp_path / "nowhere") == []


def test_the_runs_command_lists_and_exports(run, tmp_path):
    def airtune(*arguments: str) -> dict:
        command = [sys.executable, "-m", "deploy", "runs", *arguments, "--json"]
        return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)

    assert [line["name"] for line in airtune("--dir", str(run.parent))["runs"]] == ["whole"]
    files = airtune("export", str(run), "--out", str(tmp_path))["files"]
    assert {Path(f).name for f in files} == {
        "rounds.csv", "client_rounds.csv", "bursts.csv", "signals.csv", "spectra.csv", "facts.csv",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("clients", "guard_rb", "turns", "rb_count"),
    [(4, 1, 1, 6), (1, 1, 1, 28), (14, 1, 1, 1), (64, 1, 5, 1), (28, 0, 1, 1)],
)
def test_equal_shares_fit_the_band(clients, guard_rb, turns, rb_count):
    assert equal_shares(clients, 28, guard_rb) == (turns, rb_count)
    together = math.ceil(clients / turns)
    assert together * rb_count + guard_rb * (together - 1) <= 28


def test_the_dense_reference_adds_up_by_hand():
    rounds = [
        DenseRound(2.0, 0.1, {"near": DenseChannel([20.0] * 28), "far": DenseChannel([5.0] * 28)}),
        DenseRound(3.0, 0.1, {"near": DenseChannel([20.0] * 28), "lost": DenseChannel([-30.0] * 28)}),
        DenseRound(3.0, 0.1, {}),
    ]

    def link(channel, rb_start, rb_count):
        snr_db = channel.sinr_db[0]
        assert (rb_start, rb_count) == (0 if snr_db == 20.0 else 14, 13)
        return None if snr_db < 0 else DenseLink(rate_bps=1000.0 * snr_db, air_bits_per_bit=2.0)

    found = dense_reference(rounds, 10_000, 28, 1, link)
    assert found.airtime_s == pytest.approx(0.3 + 2.0 + 0.5)
    assert found.air_bits == 3 * 20_000
    assert found.payload_bits == 30_000
    assert found.mean_latency_s == pytest.approx(((2 + 0.5) + (2 + 2.0) + (3 + 0.5)) / 3)
    assert (found.served, found.unserved) == (3, 1)


def test_a_dense_client_without_a_link_leaves_its_place_in_its_turn_empty():
    channels = {f"c{i}": DenseChannel([-30.0 if i in (1, 2) else 20.0] * 28) for i in range(15)}

    def link(channel, rb_start, rb_count):
        return None if channel.sinr_db[0] < 0 else DenseLink(rate_bps=10_000.0 / (2 + rb_start), air_bits_per_bit=2.0)

    found = dense_reference([DenseRound(3.0, 0.0, channels)], 10_000, 28, 1, link)
    first, second = [2 + 3 * place for place in (0, *range(3, 8))], [2 + 3 * place for place in range(7)]
    assert found.airtime_s == first[-1] + second[-1]
    assert found.mean_latency_s == pytest.approx(3.0 + (sum(first) + sum(first[-1] + end for end in second)) / 13)
    assert (found.served, found.unserved) == (13, 2)
