"""A measured channel, played again: what ``airtune campaign replay`` writes and ``channel.model = "replay"`` reads.

One realisation per client and round, in the order they were measured; a run longer than the campaign starts over. A
sounding in which a client was not heard is played as silence.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from protocol.configuration import Experiment, Positive
from protocol.errors import ConfigurationError, DataError
from radio.channel.fading import LONGEST_ECHO_S, Taps

LARGEST_FILE = 256 * 2**20
SILENCE = 1e-6
"""Amplitude of what was not heard, relative to the client's mean."""
_SAMPLE_BYTES = 8


class ReplayLink(Struct, frozen=True, forbid_unknown_fields=True):
    """One client's channel."""

    gain_db: Annotated[float, Meta(ge=-300.0, le=100.0)]
    """Mean power gain over the soundings that were heard."""
    taps: bytes
    """Amplitudes over that mean, complex64 (rounds, delays) little-endian; a row of zeros: not heard."""


class ReplayFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file: JSON."""

    format: Literal["airtune-channel"] = "airtune-channel"
    version: Literal[1] = 1
    campaign: Annotated[str, Meta(max_length=200)]
    receiver: str
    carrier_hz: Positive
    sample_rate_hz: Positive
    interval_s: Positive
    """Between rounds, as they were measured."""
    rounds: Annotated[int, Meta(ge=1, le=1_000_000)]
    delays_s: Annotated[list[Annotated[float, Meta(ge=0.0, le=1e-4)]], Meta(min_length=1, max_length=256)]
    links: Annotated[dict[str, ReplayLink], Meta(min_length=1)]
    """By client."""


class Replay:
    """A file's content, ready to be played."""

    def __init__(self, content: ReplayFile, origin: str) -> None:
        """Raises DataError, naming ``origin``, if sizes do not fit or a value is not finite."""
        self.content = content
        self._origin = origin
        self._delays_s = np.array(content.delays_s)
        self._taps = {name: self._decoded(name, link) for name, link in content.links.items()}

    def taps(self, client: str, round_index: int) -> Taps:
        """The client's channel in a round (the first is 1). Raises ConfigurationError if it was not measured."""
        amplitudes = self._of(client)
        return Taps(self._delays_s, amplitudes[(round_index - 1) % len(amplitudes)])

    def gain_db(self, client: str) -> float:
        """Mean power gain of a client's channel, dB. Raises ConfigurationError if it was not measured."""
        self._of(client)
        return self.content.links[client].gain_db

    def check(self, experiment: Experiment) -> None:
        """Raise ConfigurationError if the experiment has a client that was not measured, or a wider band."""
        for member in experiment.clients.members:
            self._of(member.name)
        if experiment.radio.sample_rate_hz > self.content.sample_rate_hz:
            raise ConfigurationError(
                f"{self._origin}: was measured at {self.content.sample_rate_hz:g} samples per second; "
                f"radio.sample_rate_hz = {experiment.radio.sample_rate_hz:g} is wider"
            )

    def _of(self, client: str) -> NDArray[np.complex128]:
        if client not in self._taps:
            known = ", ".join(self._taps)
            raise ConfigurationError(f"{self._origin}: client '{client}' was not measured; there are: {known}")
        return self._taps[client]

    def _decoded(self, name: str, link: ReplayLink) -> NDArray[np.complex128]:
        shape = self.content.rounds, len(self._delays_s)
        if len(link.taps) != _SAMPLE_BYTES * shape[0] * shape[1]:
            raise DataError(f"{self._origin}: taps of '{name}' are not those of {shape[0]} rounds")
        taps = np.frombuffer(link.taps, "<c8").reshape(shape).astype(np.complex128)
        if not (np.isfinite(taps).all() and math.isfinite(link.gain_db)):
            raise DataError(f"{self._origin}: '{name}' has values that are not finite")
        taps[~taps.any(axis=1), 0] = SILENCE
        return taps


def experiment_replay(experiment: Experiment) -> Replay:
    """The channel that ``channel.replay_file`` names. Raises DataError if it cannot be read."""
    path = Path(experiment.channel.replay_file or "")
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"channel.replay_file = {path}: cannot be read: {error.strerror}") from error
    return _load(path.resolve(), stat.st_mtime_ns, stat.st_size)


def replay_sha256(experiment: Experiment) -> str | None:
    """Hash of the file that a run replays, for its manifest; None if it replays none. Raises DataError."""
    if experiment.channel.model != "replay":
        return None
    experiment_replay(experiment)
    return hashlib.sha256(Path(experiment.channel.replay_file or "").read_bytes()).hexdigest()


@lru_cache(maxsize=8)
def _load(path: Path, _changed_ns: int, size: int) -> Replay:
    if size > LARGEST_FILE:
        raise DataError(f"{path}: larger than any channel file")
    try:
        content = msgspec.json.decode(path.read_bytes(), type=ReplayFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: not a channel file: {error}; airtune campaign replay writes them") from error
    if max(content.delays_s) > LONGEST_ECHO_S + 2e-6:
        raise DataError(f"{path}: echoes of {1e6 * max(content.delays_s):.1f} us are later than the prefix carries")
    return Replay(content, str(path))
