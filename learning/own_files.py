"""The files of one's own that an experiment names: what is in them belongs to it as much as its keys.

``channel.replay_file`` has a hash of its own (``radio.channel.replay``).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from learning.device import shipped_profiles
from protocol.configuration import Experiment
from protocol.errors import DataError

_PIECE_BYTES = 2**20


def own_file_hashes(experiment: Experiment) -> dict[str, str]:
    """SHA-256 (hexadecimal) of each file or directory by the key that names it; empty if all is shipped.

    What is not there has none: whoever needs it says so. Of a directory the files in it count, but neither folders nor
    hidden ones. Raises DataError if a file cannot be read.
    """
    device = experiment.clients.device
    named = {
        "data.path": experiment.data.path,
        "data.test_path": experiment.data.test_path,
        "model.path": experiment.model.path,
        "clients.device": None if device in shipped_profiles() else device,
    }
    paths = {key: Path(text) for key, text in named.items() if text is not None}
    try:
        return {key: _sha256(path) for key, path in paths.items() if path.exists()}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def own_files_text(experiment: Experiment) -> str:
    """The same as text, for a hash of all that an experiment is; empty if all is shipped."""
    return "".join(f"{key} {digest}\n" for key, digest in own_file_hashes(experiment).items())


def _sha256(path: Path) -> str:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        text = "".join(f"{file.name}\0{_sha256(file)}\n" for file in files)
        return hashlib.sha256(text.encode()).hexdigest()
    stat = path.stat()
    return _content_sha256(path.resolve(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _content_sha256(path: Path, _changed_ns: int, _size: int) -> str:
    """Once for all the runs of a sweep."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
