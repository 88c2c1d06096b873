"""The modulation and coding schemes, read from ``radio/data/mcs.json``."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from protocol.configuration import CodecName
from protocol.errors import ConfigurationError, DataError

MCS_FILE = Path(__file__).parent.parent / "data" / "mcs.json"
_NAME = re.compile(r"([a-z0-9]+)-(?P<rate>\d+(?:\.\d+)?)(-short)?")
"""Of an LDPC scheme: modulation, rate in 1024ths, block."""


class BlockFormat(NamedTuple):
    """A code block of one codec: what link layer and CRC put into it."""

    block_bytes: int
    """Payload."""
    crc_bits: int
    info_bits: int
    """Bits into the encoder: payload and CRC."""


def _format(block_bytes: int, crc_bits: int) -> BlockFormat:
    return BlockFormat(block_bytes, crc_bits, 8 * block_bytes + crc_bits)


BLOCK_FORMATS: dict[CodecName, BlockFormat] = {
    "ldpc": _format(1008, 24),
    "ldpc-short": _format(252, 24),
    "convolutional": _format(252, 32),
}
CONVOLUTIONAL_TAIL_BITS = 6
"""Zero bits that end the K = 7 code; their 12 coded bits are never punctured."""


PUNCTURED_SHIFT_DB = 0.75
"""What a punctured K = 7 code loses to weak subcarriers beyond their share of the mean mutual information comes to
averaging at this much more SNR (``python -m benchmarks.effective_snr``; ours)."""


class Mcs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scheme. ``code_rate`` is nominal; ``block_coded_bits`` is exact."""

    name: str
    codec: CodecName
    bits_per_symbol: int
    code_rate: float
    """Information bits (payload and CRC) per bit on the air."""

    @property
    def selectivity_shift_db(self) -> float:
        """Added to the SINR while its mutual information is averaged, dB."""
        return PUNCTURED_SHIFT_DB if self.codec == "convolutional" and self.code_rate > 0.5 else 0.0

    @property
    def block_bytes(self) -> int:
        """Payload of one code block."""
        return BLOCK_FORMATS[self.codec].block_bytes

    @property
    def block_coded_bits(self) -> int:
        """Bits on the air of one code block; for LDPC a whole number of symbols."""
        info_bits = BLOCK_FORMATS[self.codec].info_bits
        if self.codec == "convolutional":
            return math.ceil(info_bits / self.code_rate) + 2 * CONVOLUTIONAL_TAIL_BITS
        return math.ceil(info_bits / self.code_rate / self.bits_per_symbol) * self.bits_per_symbol


class _McsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    schemes: tuple[Mcs, ...]


@dataclass(frozen=True)
class McsTable:
    """The known schemes, codec by codec, each ladder ascending in spectral efficiency."""

    schemes: tuple[Mcs, ...]

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> McsTable:
        """The shipped table. Raises DataError if its file is missing or damaged."""
        try:
            return McsTable(msgspec.json.decode(MCS_FILE.read_bytes(), type=_McsFile).schemes)
        except (OSError, msgspec.MsgspecError) as error:
            raise DataError(f"{MCS_FILE}: MCS table cannot be read: {error}; reinstall airtune") from error

    def __getitem__(self, name: str) -> Mcs:
        """The scheme called ``name``. Raises ConfigurationError naming the nearest ones."""
        for scheme in self.schemes:
            if scheme.name == name:
                return scheme
        near = ", ".join(_nearest(name, self.names))
        raise ConfigurationError(f"unknown MCS '{name}'; the nearest are {near} (docs/link.md lists all)")

    def of(self, codec: CodecName) -> tuple[Mcs, ...]:
        """The ladder of one codec."""
        return tuple(scheme for scheme in self.schemes if scheme.codec == codec)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in table order."""
        return tuple(scheme.name for scheme in self.schemes)


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Three names: of an LDPC scheme those of the nearest rates with its modulation and block, else the likeliest."""
    wanted = _NAME.fullmatch(name)
    if wanted:
        ladder = [known for known in map(_NAME.fullmatch, names) if known and known.group(1, 3) == wanted.group(1, 3)]
        if ladder:
            ladder.sort(key=lambda known: abs(float(known["rate"]) - float(wanted["rate"])))
            return [known.string for known in ladder[:3]]
    return difflib.get_close_matches(name, names, n=3, cutoff=0.0)


MCS_NAMES = McsTable.load().names
"""Names of the shipped schemes, in table order."""
