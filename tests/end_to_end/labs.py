"""A whole lab in one process: the real base station, real clients in threads, real sockets and real radio processes.

The model is a tiny random BERT on a small made-up table, so that a round takes a second; what crosses the radio,
the control plane and the disk is the real thing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from base_station.station import run_base_station
from base_station.store.comparison import record_differences
from base_station.store.records import ClientRoundRecord, RoundRecord
from base_station.store.run_store import RunStore
from edge_client.client import run_client
from learning.device import load_profile
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from protocol.keys import load_client_keys, load_station_keys, make_keys

CLASSES = ("radio", "garden", "kitchen")
WORDS = {
    "radio": ["antenna", "noise", "carrier", "burst", "pilot", "symbol", "phase", "power", "channel", "fading"],
    "garden": ["tulip", "spade", "soil", "compost", "seed", "rain", "bee", "hedge", "lawn", "root"],
    "kitchen": ["spoon", "flour", "oven", "butter", "salt", "pan", "knife", "broth", "sugar", "yeast"],
}
COMMON = ["the", "a", "of", "and", "with", "some", "very", "old", "new", "small"]


def write_table(path: Path, texts: int, seed: int = 0) -> None:
    """A CSV of ``texts`` short made-up texts in three classes."""
    rng = np.random.default_rng(seed)
    lines = ["text,label"]
    for i in range(texts):
        label = CLASSES[i % len(CLASSES)]
        words = [str(rng.choice(WORDS[label] if rng.random() < 0.6 else COMMON)) for _ in range(8)]
        lines.append(f"{' '.join(words)},{label}")
    path.write_text("\n".join(lines) + "\n")


def write_model(directory: Path) -> None:
    """A two-layer BERT classifier with random weights, and its word-level tokeniser."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    directory.mkdir()
    words = sorted({w for ws in WORDS.values() for w in ws} | set(COMMON))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (directory / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(directory / "vocab.txt")).save_pretrained(directory)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, num_labels=len(CLASSES),
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(directory)


def tiny_experiment(directory: Path, client_count: int = 2, **tables: dict[str, Any]) -> Experiment:
    """An experiment on the tiny model; keyword arguments override keys by table."""
    if not (directory / "model").exists():
        write_model(directory / "model")
        write_table(directory / "train.csv", 600)
        write_table(directory / "test.csv", 120, seed=1)
    raw: dict[str, Any] = {
        "experiment": {"name": "tiny", "rounds": 2, "validation_texts": 60, "test_texts": 120},
        "model": {
            "source": "local", "path": str(directory / "model"), "pooling": "native", "max_tokens": 16,
            "lora_rank": 4, "lora_alpha": 8.0,
        },
        "data": {
            "source": "table", "path": str(directory / "train.csv"), "test_path": str(directory / "test.csv"),
            "partition": "iid",
        },
        "training": {"local_steps": 3, "learning_rate": 0.01},
        "tsfa": {"V": 100.0, "latency_budget_s": 2.0},
        "channel": {"model": "awgn"},
        "clients": {
            "device": "reference-2core",
            "members": [{"name": f"edge-{i + 1}", "mean_snr_db": 15.0 + 3 * i} for i in range(client_count)],
        },
    }  # fmt: skip
    for table, values in tables.items():
        raw.setdefault(table, {}).update(values)
    return experiment_from_dict(raw, "tiny experiment")


class Quiet:
    """A progress display that remembers what it was told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.rounds: list[RoundRecord] = []
        self.closing = ""

    def started(self, rounds: int, first_round: int, clients: list[str], accuracy: float) -> None:
        """Not kept."""

    def stage(self, round_index: int, stage: str) -> None:
        """Not kept."""

    def client(self, name: str, stage: str, snr_db: float | None = None) -> None:
        """Not kept."""

    def round_done(self, record: RoundRecord, clients: list[ClientRoundRecord]) -> None:
        self.rounds.append(record)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def finished(self, text: str) -> None:
        self.closing = text


def run_lab(experiment: Experiment, run_dir: Path, resume: bool = False) -> tuple[dict[str, Any], Quiet]:
    """Run the experiment with every client in a thread of this process; returns the summary and what was displayed."""
    names = [m.name for m in experiment.clients.members]
    keys_dir = run_dir.with_name(run_dir.name + "-keys")
    if not keys_dir.exists():
        make_keys(keys_dir, names)
    progress = Quiet()
    failures: list[BaseException] = []

    def serve(address: str) -> None:
        keys = {name: load_client_keys(keys_dir, name) for name in names}
        try:
            run_client(experiment, names, keys, address, run_dir / "clients")
        except BaseException as error:
            failures.append(error)

    threads: list[threading.Thread] = []

    def on_listening(address: str) -> None:
        threads.append(threading.Thread(target=serve, args=(address,), daemon=True))
        threads[0].start()

    summary = run_base_station(
        experiment, run_dir, replace(load_station_keys(keys_dir, names), throw_away=True), progress, resume=resume,
        device=lambda: load_profile(experiment.clients.device), on_listening=on_listening,
    )  # fmt: skip
    for thread in threads:  # none if the run was complete already
        thread.join(timeout=30)
        assert not thread.is_alive(), "the clients did not end with the run"
    assert not failures, failures
    return summary, progress


def assert_same_run(one: Path, other: Path) -> None:
    """Bit-identical adapters, and the same records but for wall-clock columns."""
    with RunStore.read(one) as a, RunStore.read(other) as b:
        first, second = a.last_committed(), b.last_committed()
    assert first is not None
    assert second is not None
    assert first[2] == second[2], "the adapters differ"
    assert record_differences(one, other) == []


def airtune(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploy", *map(str, arguments)], env={**os.environ, **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout_s: float = 240) -> str:
    """Wait for a command that must succeed; what it printed."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err[-3000:]
    return out
