"""Committing rounds: all or nothing, at any instant of a crash, and when the disk is full."""

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from fake_run import commit_fake_round, fake_client_round, fake_experiment, fake_manifest, fake_round, make_fake_run

from base_station.store import run_store
from base_station.store.comparison import record_differences, same_records
from base_station.store.run_store import RunStore
from protocol.errors import RunError, StorageError

ROOT = Path(__file__).parents[2]
CHILD = """
import os, signal, sys
sys.path[:0] = [{root!r}, {here!r}]
from pathlib import Path
from fake_run import commit_fake_round
from base_station.store.run_store import RunStore
from base_station.store.schema import {table} as table
store = RunStore.resume(Path({run!r}))
if {kill_inside}:
    insert = RunStore._insert
    def insert_and_die(self, inserted, records):
        insert(self, inserted, records)
        if inserted is table:
            os.kill(os.getpid(), signal.SIGKILL)
    RunStore._insert = insert_and_die
commit_fake_round(store, 3)
"""


def commit_third_round_in_a_child(
    run: Path, table: str = "ROUNDS", kill_inside: bool = False, kill_at: str = ""
) -> int:
    code = CHILD.format(root=str(ROOT), here=str(ROOT / "tests"), run=str(run), table=table, kill_inside=kill_inside)
    environment = {**os.environ, "AIRTUNE_KILL_AT": kill_at}
    # A session of its own: the step it is killed at ends its whole process group.
    return subprocess.run([sys.executable, "-c", code], env=environment, start_new_session=True, timeout=60).returncode


@pytest.fixture
def two_rounds(tmp_path: Path) -> Path:
    return make_fake_run(tmp_path / "run", clients=2, rounds=5, done=2, signals=False)


def test_what_is_committed_is_read_back_whole(tmp_path):
    experiment = fake_experiment(3, 4)
    clients = [fake_client_round(experiment, 1, i) for i in range(3)]
    record = fake_round(experiment, 1, clients)
    with RunStore.create(tmp_path / "run", experiment, fake_manifest(experiment)) as store:
        assert store.last_committed() is None
        store.commit_round(record, clients, [], [], [], b'{"round": 1}', b"adapter")
        assert list(store.rounds()) == [record]
        assert list(store.clients(1)) == clients
        assert store.last_committed() == (1, b'{"round": 1}', b"adapter")
        assert store.experiment == experiment


def test_only_the_last_two_checkpoints_stay(tmp_path):
    run = make_fake_run(tmp_path / "run", clients=1, rounds=4, signals=False)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == [
        "round-0000003.checkpoint", "round-0000004.checkpoint",
    ]  # fmt: skip


def test_a_new_run_refuses_a_directory_with_something_in_it(two_rounds):
    experiment = fake_experiment()
    with pytest.raises(RunError, match="already there"):
        RunStore.create(two_rounds, experiment, {})


def test_a_crash_between_checkpoint_and_transaction_leaves_the_round_out(two_rounds):
    assert commit_third_round_in_a_child(two_rounds, kill_at="base-station:checkpointed:3") == -signal.SIGKILL
    assert (two_rounds / "checkpoints" / "round-0000003.checkpoint").exists()
    with RunStore.read(two_rounds) as store:
        assert store.last_committed() == (2, b"state 2", b"adapteradapter")
    with RunStore.resume(two_rounds) as store:
        assert not (two_rounds / "checkpoints" / "round-0000003.checkpoint").exists()
        commit_fake_round(store, 3)
        assert store.last_committed()[0] == 3


@pytest.mark.parametrize("table", ["ROUNDS", "CLIENT_ROUNDS", "SIGNALS"])
def test_a_crash_inside_the_transaction_leaves_no_record_of_the_round(two_rounds, table):
    assert commit_third_round_in_a_child(two_rounds, table, kill_inside=True) == -signal.SIGKILL
    with RunStore.read(two_rounds) as store:
        assert [r.round_index for r in store.rounds()] == [1, 2]
        assert {c.round_index for c in store.clients()} == {1, 2}
        assert store.last_committed()[0] == 2


def test_a_resumed_run_remembers_the_same_as_one_in_a_piece(tmp_path, two_rounds):
    assert commit_third_round_in_a_child(two_rounds, kill_at="base-station:checkpointed:3") == -signal.SIGKILL
    with RunStore.resume(two_rounds) as store:
        for t in (3, 4, 5):
            commit_fake_round(store, t, signals=False)
        assert len(store.manifest["resumed"]) == 2
    whole = make_fake_run(tmp_path / "whole", clients=2, rounds=5, signals=False)
    assert record_differences(two_rounds, whole) == []


def test_comparison_sees_a_changed_figure_but_not_wall_clock(tmp_path, two_rounds):
    other = make_fake_run(tmp_path / "other", clients=2, rounds=5, done=2, signals=False)
    database = sqlite3.connect(other / "run.sqlite")
    database.execute(
        "UPDATE rounds SET wall_s = 99, solve_wall_s = 99, stage_wall_s = '{}', accuracy = accuracy * 1.0005"
    )
    database.commit()
    assert same_records(two_rounds, other)
    database.execute("UPDATE client_rounds SET air_bits = air_bits + 1 WHERE client = 'edge-2' AND round_index = 1")
    database.commit()
    assert not same_records(two_rounds, other)
    assert [d.split(":")[0] for d in record_differences(two_rounds, other)] == ["client_rounds[1].air_bits"]


def test_readers_see_committed_rounds_while_the_run_is_written(tmp_path):
    experiment = fake_experiment(1, 3)
    with (
        RunStore.create(tmp_path / "run", experiment, fake_manifest(experiment)) as writer,
        RunStore.read(tmp_path / "run") as reader,
    ):
        for t in (1, 2):
            commit_fake_round(writer, t, signals=False)
            assert [r.round_index for r in reader.rounds()] == list(range(1, t + 1))
        with reader.snapshot():
            assert len(list(reader.rounds())) == 2
            commit_fake_round(writer, 3, signals=False)
            assert len(list(reader.rounds())) == 2
        with pytest.raises(StorageError):
            reader.set_fact("initial_accuracy", 1.0)


def test_a_run_has_one_writer_at_a_time(two_rounds):
    with RunStore.resume(two_rounds), pytest.raises(RunError, match="another process is writing"):
        RunStore.resume(two_rounds)
    RunStore.resume(two_rounds).close()


def test_a_round_is_committed_once(two_rounds):
    with RunStore.resume(two_rounds) as store, pytest.raises(RunError, match="round 2 is already committed"):
        commit_fake_round(store, 2)


@contextlib.contextmanager
def no_file_over(size):
    """Limit the size of files this process may write, as a full disk would. Its output too: be brief."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("limit", [60, 4096])
def test_a_full_disk_is_one_line_and_leaves_the_last_round(two_rounds, limit):
    """60 bytes stop the checkpoint; 4096 let it pass and stop the transaction."""
    with RunStore.resume(two_rounds) as store:
        with pytest.raises(StorageError) as caught, no_file_over(limit):
            commit_fake_round(store, 3)
        assert "\n" not in str(caught.value)
        assert store.last_committed()[0] == 2
        assert [p for p in (two_rounds / "checkpoints").iterdir() if p.name.startswith(".")] == []
        commit_fake_round(store, 3)
    with RunStore.read(two_rounds) as store:
        assert store.last_committed()[0] == 3


def test_a_run_that_cannot_be_created_leaves_nothing(tmp_path):
    with pytest.raises(StorageError), no_file_over(20):
        RunStore.create(tmp_path / "run", fake_experiment(), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "foreign", "older"])
def test_a_damaged_database_is_refused(two_rounds, damage):
    path = two_rounds / "run.sqlite"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:6000])
    elif damage == "overwritten":
        path.write_bytes(b"not a database at all" * 400)
    else:
        database = sqlite3.connect(path)
        database.execute("PRAGMA application_id = 1" if damage == "foreign" else "PRAGMA user_version = 0")
        database.close()
    with pytest.raises(RunError):
        RunStore.resume(two_rounds)


def test_a_damaged_checkpoint_is_refused(two_rounds):
    path = two_rounds / "checkpoints" / "round-0000002.checkpoint"
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(RunError, match="checkpoint is damaged"):
        RunStore.resume(two_rounds)
    path.unlink()
    with pytest.raises(RunError, match="checkpoint of round 2 is missing"):
        RunStore.resume(two_rounds)


def test_a_directory_without_a_run_is_refused(tmp_path):
    for opening in (RunStore.read, RunStore.resume):
        with pytest.raises(RunError, match="no run is there"):
            opening(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_events_hold_every_committed_round_once_after_a_resume(two_rounds):
    from tensorboardX.proto.event_pb2 import Event

    with RunStore.resume(two_rounds) as store:
        commit_fake_round(store, 3, signals=False)
    (path,) = (two_rounds / "tensorboard").iterdir()
    data, steps = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        steps += [event.step for value in event.summary.value if value.tag == "round/accuracy"]
        data = data[16 + length :]
    assert steps == [1, 2, 3]


def test_the_store_needs_no_torch():
    code = f"import sys, {run_store.__name__}; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
