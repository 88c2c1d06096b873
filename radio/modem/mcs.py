"""The modulation and coding schemes, read from ``radio/data/mcs.json``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from protocol.errors import ConfigurationError, DataError

MCS_FILE = Path(__file__).parent.parent / "data" / "mcs.json"

BLOCK_BYTES = 252
"""Payload of one code block."""
CRC_BITS = 32
INFO_BITS = 8 * BLOCK_BYTES + CRC_BITS
"""Bits into the encoder per code block: payload and CRC."""
MOTHER_BITS = 2 * (INFO_BITS + 6)
"""Bits of one block of the rate-1/2 mother code, constraint length 7, tail included."""
TAIL_BITS = 12
"""Mother-code bits of the tail, never punctured."""


class Mcs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scheme. ``code_rate`` is nominal; ``block_coded_bits`` is exact."""

    name: str
    bits_per_symbol: int
    code_rate: float
    puncturing: tuple[int, ...]
    soft_bit_level: float
    """Mean magnitude, of 127, to which soft bits are scaled before 8-bit decoding."""

    @property
    def block_coded_bits(self) -> int:
        """Bits on the air of one code block."""
        body = MOTHER_BITS - TAIL_BITS
        whole, rest = divmod(body, len(self.puncturing))
        return whole * sum(self.puncturing) + sum(self.puncturing[:rest]) + TAIL_BITS


class _McsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    schemes: tuple[Mcs, ...]


@dataclass(frozen=True)
class McsTable:
    """The known schemes, ascending in spectral efficiency."""

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
        """The scheme called ``name``. Raises ConfigurationError naming the known ones."""
        for scheme in self.schemes:
            if scheme.name == name:
                return scheme
        raise ConfigurationError(f"unknown MCS '{name}'; known: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names in table order."""
        return tuple(scheme.name for scheme in self.schemes)


MCS_NAMES = McsTable.load().names
"""Names of the shipped schemes, ascending in spectral efficiency."""
