"""Damaged run databases: whatever reads them names the file in one RunError."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from fake_run import make_fake_run

from base_station.comparison.measures import read_curve
from base_station.report.run_data import read_run
from base_station.store.export import export_csv
from base_station.store.listing import list_runs
from base_station.store.run_store import RunStore
from deploy.cli import main
from protocol.errors import RunError

DAMAGE_BYTES = 5000


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return make_fake_run(tmp_path_factory.mktemp("sound") / "run", clients=3, rounds=3)


@pytest.fixture
def run(sound, tmp_path) -> Path:
    return shutil.copytree(sound, tmp_path / "runs" / "bad")


def change(run: Path, statement: str) -> None:
    database = sqlite3.connect(run / "run.sqlite")
    with database:
        assert database.execute(statement).rowcount > 0
    database.close()


def read_all(run: Path) -> None:
    """What ``report``, ``compare`` and ``runs export`` read."""
    read_run(run)
    read_curve(run)
    with RunStore.read(run) as store:
        export_csv(store, run.parent / "exported")


def test_random_bytes_anywhere_are_a_run_error_or_do_no_harm(sound, tmp_path):
    whole = (sound / "run.sqlite").read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    schema = range(100, 4096, 300)
    for place in [*schema, *range(0, len(whole) - DAMAGE_BYTES, len(whole) // 16)]:
        run = shutil.copytree(sound, tmp_path / str(place) / "run")
        noise = rng.bytes(DAMAGE_BYTES)
        (run / "run.sqlite").write_bytes(whole[:place] + noise + whole[place + DAMAGE_BYTES :])
        (line,) = list_runs(run.parent)
        assert line.state in ("finished", "unreadable")
        try:
            read_all(run)
        except RunError as error:
            assert "run.sqlite" in str(error)  # noqa: PT017 - not every place does harm
            refused += 1
    assert refused >= 16


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE rounds SET accuracy = 'abc' WHERE round_index = 2", "table rounds, round 2: accuracy"),
        ("UPDATE client_rounds SET air_bits = x'00ff'", "table client_rounds, round 1: air_bits"),
        ("UPDATE client_rounds SET sinr_db = '[1,2' WHERE round_index = 3", "table client_rounds: sinr_db: "),
        ("UPDATE client_rounds SET sinr_db = '[1, \"x\"]'", "table client_rounds: sinr_db: "),
        ("UPDATE rounds SET stage_wall_s = '[]'", "table rounds: stage_wall_s: "),
        ("DELETE FROM rounds WHERE round_index = 2", "round 2 is in table commits, not in rounds"),
        ("DELETE FROM commits WHERE round_index = 2", "round 2 is in table rounds, not in commits"),
        ("UPDATE client_rounds SET round_index = 9 WHERE round_index = 3", "round 9 is in table client_rounds"),
        ("UPDATE facts SET value = '\"abc\"' WHERE name = 'final_accuracy'", "fact final_accuracy: "),
        ("UPDATE facts SET value = '{' WHERE name = 'dense_payload_bits'", "fact dense_payload_bits: "),
    ],
)
def test_one_bad_value_is_told_with_its_place(run, statement, told):
    change(run, statement)
    with pytest.raises(RunError) as caught:
        read_all(run)
    line = str(caught.value)
    assert line.startswith(f"{run}/run.sqlite: the run's database is damaged: ")
    assert told in line
    assert line.endswith("; restore it from a copy, or make the run again")


def test_a_damaged_run_is_not_gone_on_with(run):
    change(run, "DELETE FROM rounds WHERE round_index = 2")
    with pytest.raises(RunError, match="is damaged"):
        RunStore.resume(run)


def test_one_damaged_run_does_not_hide_the_others(sound, run):
    shutil.copytree(sound, run.parent / "good")
    with (run / "run.sqlite").open("r+b") as file:
        file.seek(4000)  # the end of the schema: SQLite tells of it in words that are no UTF-8
        file.write(np.random.default_rng(0).bytes(DAMAGE_BYTES))
    bad, good = list_runs(run.parent)
    assert (good.state, bad.state) == ("finished", "unreadable")
    assert "is damaged" in bad.reason


@pytest.mark.parametrize("command", [["report"], ["compare"], ["runs", "export", "--out", "exported"]])
def test_every_command_ends_with_12(run, command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    change(run, "UPDATE rounds SET accuracy = 'abc'")
    assert main([*command, str(run)]) == 12
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{run}/run.sqlite: the run's database is damaged" in error


def test_a_manifest_that_is_not_whole_is_told(run, capsys, tmp_path):
    path = run / "manifest.json"
    path.write_text(path.read_text().replace('"commit"', '"comit"'))
    assert main(["compare", str(run), "--out", str(tmp_path / "out")]) == 12
    assert f"{path}: is damaged: it has no 'commit'" in capsys.readouterr().err
