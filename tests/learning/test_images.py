import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from learning import images
from learning.data import load_dataset
from learning.images import FASHION_CLASSES, IMAGENET_DEVIATION, IMAGENET_MEAN, pictures, read_idx
from learning.partition import partition_samples
from protocol.errors import DataError, MissingPartError
from protocol.experiment_file import experiment_from_dict


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def write_parts(directory: Path, train: int = 60, test: int = 20) -> Path:
    """A small Fashion-MNIST: every image is filled with its own number, its label that number modulo ten."""
    directory.mkdir()
    for part, count in (("train", train), ("t10k", test)):
        numbers = np.arange(count)
        pixels = np.broadcast_to(numbers[:, None, None], (count, 28, 28))
        (directory / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (directory / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(numbers % 10)))
    return directory


def experiment(path: Path | None = None, **data: object):
    return experiment_from_dict({
        "experiment": {"name": "t"}, "model": {"source": "dinov2-small", "pooling": "native"},
        "clients": {"members": [{"name": n, "distance_m": 10.0} for n in ("ann", "bo")]},
        "data": {"source": "fashion-mnist", **({"path": str(path)} if path else {}), **data},
    }, "test")  # fmt: skip


def test_files_of_one_s_own_packed_or_not_are_split_with_their_labels(tmp_path):
    data = load_dataset(experiment(write_parts(tmp_path / "files")))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [54, 6, 20]
    assert data.class_names == FASHION_CLASSES
    for part in (data.train, data.validation, data.test):
        assert np.array_equal(part.contents[:, 13, 13] % 10, part.labels)


@pytest.mark.parametrize("partition", ["dirichlet", "iid", "shards"])
def test_images_are_dealt_like_texts(tmp_path, partition):
    table = experiment(write_parts(tmp_path / "files"), partition=partition, minimum_samples=5)
    data = load_dataset(table)
    shares = partition_samples(table, data.train).indices
    assert sorted(np.concatenate(list(shares.values())).tolist()) == list(range(54))


def test_files_that_are_none_are_refused_in_one_line(tmp_path):
    whole = idx(np.zeros((3, 28, 28)))
    for name, content in {
        "short": whole[:-1], "empty": b"", "floats": whole[:2] + b"\x0d" + whole[3:], "flat": idx(np.zeros(5)),
        "text.gz": b"not packed",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name) as refusal:
            read_idx(tmp_path / name, 3)
        assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="no such file"):
        load_dataset(experiment(tmp_path / "nowhere"))
    directory = write_parts(tmp_path / "files")
    (directory / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.full(20, 10))))
    with pytest.raises(DataError, match="labels that do not fit"):
        load_dataset(experiment(directory))


def test_where_the_system_s_package_is_missing_one_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "FASHION_MNIST", tmp_path / "none")
    with pytest.raises(MissingPartError, match=r"make setup EXTRA=models.*dataset-fashion-mnist.*data\.path"):
        load_dataset(experiment())


def test_pixels_are_scaled_to_size_and_normalised_as_the_model_was_trained(tmp_path):
    shades = np.full((2, 28, 28), 255, np.uint8)
    shades[1] = 0
    (batch,) = pictures(shades, tmp_path, 56).batch(np.array([0, 1]))
    assert (batch.shape, batch.dtype) == ((2, 3, 56, 56), torch.float32)
    for channel in range(3):
        mean, deviation = IMAGENET_MEAN[channel], IMAGENET_DEVIATION[channel]
        np.testing.assert_allclose(batch[0, channel].numpy(), (1 - mean) / deviation, rtol=1e-5)
        np.testing.assert_allclose(batch[1, channel].numpy(), -mean / deviation, rtol=1e-5)
    settings = tmp_path / "preprocessor_config.json"
    settings.write_text(json.dumps({"image_mean": [0, 0, 0], "image_std": [1, 1, 2]}))
    (batch,) = pictures(shades, tmp_path, 14).batch(np.array([0]))
    assert batch[0].amax(dim=(1, 2)).tolist() == pytest.approx([1.0, 1.0, 0.5])
    for broken in ("{", '{"image_std": [1, 1, 0]}', '{"image_mean": 3}'):
        settings.write_text(broken)
        with pytest.raises(DataError, match=r"preprocessor_config\.json"):
            pictures(shades, tmp_path, 14)


def test_fashion_mnist_comes_whole():
    if not images.FASHION_MNIST.is_dir():
        pytest.skip(f"Fashion-MNIST is not in {images.FASHION_MNIST}; run `make setup EXTRA=models`")
    data = load_dataset(experiment())
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    # Sandals are dark where coats are bright: in the middle.
    middle = {
        name: data.test.contents[data.test.labels == i][:, 8:20, 13].mean() for i, name in enumerate(FASHION_CLASSES)
    }
    assert middle["coat"] > 2 * middle["sandal"]
