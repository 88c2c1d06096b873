"""What is in the files that an experiment names."""

import pytest

from learning.own_files import own_file_hashes, own_files_text
from protocol.experiment_file import experiment_from_dict


def experiment(**tables):
    members = [{"name": "edge-1", "mean_snr_db": 20.0}]
    clients = {"members": members, **tables.pop("clients", {})}
    return experiment_from_dict({"experiment": {"name": "own"}, "clients": clients, **tables}, "own")


@pytest.fixture
def own(tmp_path):
    """An experiment whose data, model and device profile are files."""
    (tmp_path / "model").mkdir()
    for name in ("train.csv", "test.csv", "model/config.json", "model/.lock", "device.toml"):
        (tmp_path / name).write_text(f"content of {name}")
    return experiment(
        data={"source": "table", "path": str(tmp_path / "train.csv"), "test_path": str(tmp_path / "test.csv")},
        model={"source": "local", "path": str(tmp_path / "model")}, clients={"device": str(tmp_path / "device.toml")},
    )  # fmt: skip


def test_what_is_shipped_or_missing_has_no_hash(tmp_path):
    for device in ("reference-2core", "measured-here", str(tmp_path / "none.toml")):
        assert own_files_text(experiment(clients={"device": device})) == ""
    missing = {"source": "table", "path": str(tmp_path / "none.csv")}
    assert own_file_hashes(experiment(data=missing)) == {}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train.csv", "data.path"), ("test.csv", "data.test_path"), ("model/config.json", "model.path"),
        ("model/weights.safetensors", "model.path"), ("device.toml", "clients.device"), ("model/.lock", None),
    ],
)  # fmt: skip
def test_another_content_is_another_hash_of_its_key_alone(own, tmp_path, name, key):
    before, text = own_file_hashes(own), own_files_text(own)
    assert list(before) == ["data.path", "data.test_path", "model.path", "clients.device"]
    (tmp_path / name).write_text("something else")
    after = own_file_hashes(own)
    assert [k for k in before if before[k] != after[k]] == ([] if key is None else [key])
    assert (own_files_text(own) == text) == (key is None)
