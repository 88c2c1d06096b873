"""Images: reading them from IDX files, and making them what a vision model takes.

Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017) arrives as a package of the operating system, or in a directory.
IDX is the format of the MNIST files: two zero bytes, type, number of dimensions, their sizes big-endian, values.
"""

from __future__ import annotations

import gzip
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from learning.samples import Samples
from protocol.errors import DataError, MissingPartError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts its files."""
FASHION_CLASSES: tuple[str, ...] = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, where a model does not say what it was trained with."""
_UNSIGNED_BYTE = 0x08
_MAXIMUM_BYTES = 2**28

Pixels = NDArray[np.uint8]


def read_fashion_mnist(path: str | None) -> tuple[Samples, Samples]:
    """Training and test images (n, 28, 28) of the system's package, or of the directory ``path``.

    Raises MissingPartError if neither is there, DataError if a file cannot be used.
    """
    directory = Path(path) if path is not None else FASHION_MNIST
    if path is None and not directory.is_dir():
        raise MissingPartError(
            f"Fashion-MNIST is not in {directory}; run `make setup EXTRA=models`, install the system package "
            "dataset-fashion-mnist, or name the directory of its files in data.path"
        )
    return _read_part(directory, "train"), _read_part(directory, "t10k")


def _read_part(directory: Path, part: str) -> Samples:
    images = read_idx(_existing(directory / f"{part}-images-idx3-ubyte"), 3)
    labels = read_idx(_existing(directory / f"{part}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels) or len(labels) == 0 or labels.max() >= len(FASHION_CLASSES):
        raise DataError(f"{directory}: {part} has {len(images)} images and {len(labels)} labels that do not fit them")
    return Samples(images, labels.astype(np.int64))


def _existing(path: Path) -> Path:
    """The file itself, or packed beside it."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: no such file, and none with .gz")


def read_idx(path: Path, dimensions: int) -> Pixels:
    """Array of bytes in an IDX file, packed with gzip or not. Raises DataError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            data = stream.read(_MAXIMUM_BYTES)
        zero, kind, count = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{count}I", data[4 : 4 + 4 * count])
    except (OSError, EOFError, struct.error) as error:
        raise DataError(f"{path}: cannot be read as an IDX file: {error}") from error
    values = data[4 + 4 * count :]
    if (zero, kind, count) != (0, _UNSIGNED_BYTE, dimensions) or len(values) != math.prod(shape):
        raise DataError(f"{path}: not an IDX file of bytes in {dimensions} dimensions, or cut short")
    return np.frombuffer(values, np.uint8).reshape(shape)


@dataclass(frozen=True)
class Pictures:
    """Images of 256 shades (n, height, width), scaled and normalised batch by batch."""

    pixels: Pixels
    size_px: int
    """Height and width of what the model gets."""
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Work an image makes, in images: all are alike."""
        return np.ones(len(self), np.int64)

    def batch(self, indices: NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        """Pixels, float32 (len(indices), 3, size, size); grey becomes red, green and blue alike."""
        shades = torch.from_numpy(self.pixels[indices]).to(torch.float32).unsqueeze(1) / 255.0
        scaled = torch.nn.functional.interpolate(
            shades, size=(self.size_px, self.size_px), mode="bilinear", align_corners=False, antialias=True
        )
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.deviation))
        return ((scaled - mean) / deviation,)


def pictures(pixels: Pixels, directory: Path, size_px: int) -> Pictures:
    """``pixels`` as the model in ``directory`` takes them. Raises DataError."""
    path = directory / "preprocessor_config.json"
    try:
        known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        mean, deviation = (
            tuple(float(v) for v in known.get(key, usual))
            for key, usual in (("image_mean", IMAGENET_MEAN), ("image_std", IMAGENET_DEVIATION))
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a preprocessor's settings: {error}") from error
    if len(mean) != 3 or len(deviation) != 3 or min(deviation) <= 0.0:
        raise DataError(f"{path}: image_mean and image_std must be three numbers each")
    return Pictures(pixels, size_px, mean, deviation)
