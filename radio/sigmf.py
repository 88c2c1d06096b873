"""SigMF recordings (sigmf.org, version 1.2): names, the fields that all of ours share, and writing metadata.

A recording is a pair of files: ``.sigmf-data`` holds samples (complex64, little-endian), ``.sigmf-meta`` says all
about them in JSON. Fields named ``airtune:...`` are ours; docs/campaign.md lists them.
"""

from __future__ import annotations

import hashlib
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import DataError
from protocol.files import write_atomically

SIGMF_VERSION = "1.2.0"
DATA_SUFFIX, META_SUFFIX = ".sigmf-data", ".sigmf-meta"
SAMPLE_BYTES = 8
"""One complex64."""
LABEL_LETTERS = 20
"""Longest ``core:label``."""
_HASHED_AT_ONCE = 1 << 20
_LARGEST_METADATA = 64 * 2**20
_NUMBER = (int, float)
_KINDS: dict[str, type | tuple[type, ...]] = {
    "core:datatype": str, "core:version": str, "core:sample_rate": _NUMBER, "core:num_channels": int,
    "core:sha512": str, "core:description": str, "core:recorder": str, "core:hw": str, "core:extensions": list,
    "core:geolocation": dict, "core:sample_start": int, "core:sample_count": int, "core:frequency": _NUMBER,
    "core:global_index": int, "core:datetime": str, "core:freq_lower_edge": _NUMBER,
    "core:freq_upper_edge": _NUMBER, "core:generator": str, "core:label": str, "core:comment": str,
}  # fmt: skip
"""Fields of the core namespace that we write, and what they may be."""


def global_fields(sample_rate_hz: float, description: str, hardware: str) -> dict[str, Any]:
    """The ``global`` object of a recording of ours, without its hash."""
    return {
        "core:datatype": "cf32_le",
        "core:sample_rate": sample_rate_hz,
        "core:version": SIGMF_VERSION,
        "core:num_channels": 1,
        "core:description": description,
        "core:recorder": f"airtune {version('airtune')}",
        "core:hw": hardware,
        "core:extensions": [{"name": "airtune", "version": "1.0.0", "optional": True}],
    }


def file_sha512(path: Path) -> hashlib._Hash:
    """Hash of a data file so far; more can be added to it."""
    hashed = hashlib.sha512()
    with path.open("rb") as data:
        while piece := data.read(_HASHED_AT_ONCE):
            hashed.update(piece)
    return hashed


def write_metadata(path: Path, meta: dict[str, Any], n_samples: int) -> None:
    """Check ``meta`` of a recording of ``n_samples`` and write it, whole or not at all.

    Raises DataError if it is not valid, StorageError if the disk refuses.
    """
    check_metadata(meta, n_samples, path.name)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(meta), indent=2) + b"\n")


def read_metadata(path: Path, n_samples: int) -> dict[str, Any]:
    """Metadata of a recording whose data file holds ``n_samples``. Raises DataError if it is missing or not valid."""
    try:
        if path.stat().st_size > _LARGEST_METADATA:
            raise DataError(f"{path}: larger than any metadata of ours")
        meta = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    check_metadata(meta, n_samples, str(path))
    return meta


def check_metadata(meta: dict[str, Any], n_samples: int, origin: str) -> None:
    """Raise DataError, naming ``origin`` and the field, if ``meta`` breaks a rule of SigMF for ``n_samples``."""
    if set(meta) != {"global", "captures", "annotations"}:
        raise DataError(f"{origin}: not SigMF: it must have global, captures and annotations")
    every, captures, annotations = meta["global"], meta["captures"], meta["annotations"]
    for key in ("core:datatype", "core:version", "core:sample_rate"):
        if key not in every:
            raise DataError(f"{origin}: not SigMF: {key} is missing")
    namespaces = {"core", *(extension.get("name") for extension in every.get("core:extensions", []))}
    for segment in (every, *captures, *annotations):
        _check_fields(segment, namespaces, origin)
    for what, segments in (("captures", captures), ("annotations", annotations)):
        starts = [segment.get("core:sample_start", -1) for segment in segments]
        if starts != sorted(starts) or min(starts, default=0) < 0:
            raise DataError(f"{origin}: not SigMF: {what} must be in order of core:sample_start")
    for segment in annotations:
        if segment["core:sample_start"] + segment.get("core:sample_count", 0) > n_samples:
            raise DataError(f"{origin}: not SigMF: an annotation reaches beyond its {n_samples} samples")


def _check_fields(segment: dict[str, Any], namespaces: set[Any], origin: str) -> None:
    for key, value in segment.items():
        namespace, colon, _ = key.partition(":")
        if not colon or namespace not in namespaces:
            raise DataError(f"{origin}: not SigMF: '{key}' is of no namespace that is declared")
        if namespace == "core" and not isinstance(value, _KINDS.get(key, ())):
            raise DataError(f"{origin}: not SigMF: {key} cannot be {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{origin}: not SigMF: {key} is {value}")
    if len(segment.get("core:label", "")) > LABEL_LETTERS:
        raise DataError(f"{origin}: not SigMF: core:label has more than {LABEL_LETTERS} letters")
