"""The reference in plots and benchmarks: GNU Radio's own OFDM modem in the same band at the same noise.

``radio/data/stock_modem.json`` holds what ``python -m benchmarks.stock_modem`` measured.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from protocol.errors import DataError

STOCK_MODEM_FILE = Path(__file__).parents[1] / "data" / "stock_modem.json"


class StockPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best setting of the stock modem at one SNR."""

    snr_db: float
    """Received power while on over N0 times the occupied bandwidth."""
    bits_per_symbol: int
    packet_bytes: int
    packets: int
    errors: int
    """Packets lost or damaged."""
    efficiency: float
    """Goodput over capacity of occupied bandwidth and guard."""


class StockModem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content."""

    about: str
    date: str
    command: str
    versions: dict[str, str]
    seed: int
    points: list[StockPoint]
    """Ascending in SNR."""


@lru_cache(maxsize=1)
def load_stock_modem() -> StockModem:
    """The shipped measurement. Raises DataError if its file is missing or damaged."""
    try:
        return msgspec.json.decode(STOCK_MODEM_FILE.read_bytes(), type=StockModem)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(
            f"{STOCK_MODEM_FILE}: cannot be read: {error}; make it with: python -m benchmarks.stock_modem"
        ) from error
