"""CURVE key files: one pair for the base station, one for every client of an experiment.

A directory of keys holds ``base-station.key`` (secret) and ``base-station.pub``, and ``NAME.key`` and
``NAME.pub`` for every client. A client's machine needs its own two files and ``base-station.pub``; the base
station needs its own two and every ``NAME.pub``. A key file has two lines: what it is, and 40 characters (Z85).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from protocol.errors import AccessError, StorageError

STATION_NAME = "base-station"
_SECRET_TITLE = "airtune secret key"
_PUBLIC_TITLE = "airtune public key"
_Z85_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


@dataclass(frozen=True)
class KeyPair:
    """A CURVE25519 pair, Z85 text; the secret half is kept out of ``repr``."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class StationKeys:
    """What the base station holds: its pair, and the public key of every client it may talk to."""

    pair: KeyPair
    clients: dict[str, str]
    throw_away: bool = False
    """Made for one local run and gone with it."""


@dataclass(frozen=True)
class ClientKeys:
    """What a client holds: its pair and the base station's public key."""

    pair: KeyPair
    station_public: str


def new_pair() -> KeyPair:
    """A fresh key pair from the operating system's random source."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def make_keys(directory: Path, clients: Sequence[str], *, overwrite: bool = False) -> list[Path]:
    """Write key files for the base station and ``clients`` into ``directory`` (made with mode 0700).

    Returns the files written. Raises AccessError if one is there already (unless ``overwrite``), StorageError if
    the directory cannot be written; nothing is half-written in either case.
    """
    contents: dict[Path, tuple[str, int]] = {}
    for name in (STATION_NAME, *clients):
        pair = new_pair()
        contents[directory / f"{name}.key"] = (f"{_SECRET_TITLE}\n{pair.secret}\n", 0o600)
        contents[directory / f"{name}.pub"] = (f"{_PUBLIC_TITLE}\n{pair.public}\n", 0o644)
    present = [path for path in contents if path.exists()]
    if present and not overwrite:
        raise AccessError(f"{present[0]}: exists already; --force replaces all keys of the experiment")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        _write_all(directory, contents)
    except OSError as error:
        raise StorageError(f"{directory}: keys cannot be written: {error.strerror}") from error
    return list(contents)


def load_station_keys(directory: Path, clients: Sequence[str]) -> StationKeys:
    """Keys of the base station for an experiment with ``clients``.

    Raises AccessError for a missing or malformed file, a secret file others may read, or one key for two clients.
    """
    pair = _load_pair(directory, STATION_NAME)
    known = {name: _load_key(directory / f"{name}.pub", _PUBLIC_TITLE) for name in clients}
    owners: dict[str, str] = {}
    for name, public in known.items():
        if public in owners:
            raise AccessError(f"{directory}: clients '{owners[public]}' and '{name}' have the same key; make new keys")
        owners[public] = name
    return StationKeys(pair, known)


def load_client_keys(directory: Path, name: str) -> ClientKeys:
    """Keys of client ``name``. Raises AccessError as ``load_station_keys`` does."""
    station_public = _load_key(directory / f"{STATION_NAME}.pub", _PUBLIC_TITLE)
    return ClientKeys(_load_pair(directory, name), station_public)


def _write_all(directory: Path, contents: dict[Path, tuple[str, int]]) -> None:
    """Write every file beside its final place first, so that a full disk leaves no half set of keys."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".new-") as staging:
        for path, (text, mode) in contents.items():
            descriptor = os.open(Path(staging) / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
        for path in contents:
            (Path(staging) / path.name).replace(path)


def _load_pair(directory: Path, name: str) -> KeyPair:
    path = directory / f"{name}.key"
    secret = _load_key(path, _SECRET_TITLE)
    public = zmq.curve_public(secret.encode()).decode()
    published = directory / f"{name}.pub"
    if published.exists() and _load_key(published, _PUBLIC_TITLE) != public:
        raise AccessError(f"{path}: is not the secret half of {published.name}; copy both from where keys were made")
    return KeyPair(public, secret)


def _load_key(path: Path, title: str) -> str:
    try:
        with path.open(encoding="ascii") as file:
            if title == _SECRET_TITLE and os.fstat(file.fileno()).st_mode & 0o077:
                raise AccessError(f"{path}: others may read this secret key; run: chmod 600 {path}")
            lines = file.read(200).splitlines()
    except FileNotFoundError as error:
        raise AccessError(f"{path}: no such key; make keys with: airtune keys EXPERIMENT.toml --out DIR") from error
    except OSError as error:
        raise AccessError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 2 or lines[0] != title or not _Z85_KEY.fullmatch(lines[1]):
        raise AccessError(f"{path}: not an {title} file; make keys with: airtune keys EXPERIMENT.toml --out DIR")
    return lines[1]
