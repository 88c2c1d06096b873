"""Recorded bursts with what was kept of their signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_station.store.records import BurstRecord, SignalRecord, SpectrumRecord
from base_station.store.run_store import RunStore
from base_station.store.signals import unpacked
from radio.modem.constellations import Constellation
from radio.modem.mcs import McsTable
from radio.numerology import Numerology

_TRAINING_BITS_PER_SYMBOL = 2
"""A sounding is training only, which is QPSK."""


@dataclass(frozen=True)
class ReceivedBurst:
    """A burst of the run; ``signal`` is None if it was not detected, or sent by a radio without IQ.

    What was not kept is empty.
    """

    record: BurstRecord
    signal: SignalRecord | None

    @property
    def points(self) -> NDArray[np.complex64]:
        """Equalised symbols."""
        return self._unpacked("constellation")

    @property
    def ideal_points(self) -> NDArray[np.complex64]:
        """All points of its modulation."""
        bits = McsTable.load()[self.record.mcs].bits_per_symbol if self.record.mcs else _TRAINING_BITS_PER_SYMBOL
        patterns = np.arange(1 << bits)[:, None] >> np.arange(bits)[::-1] & 1
        return Constellation.of(bits).points(patterns.astype(np.uint8).ravel())

    @property
    def channel_db(self) -> NDArray[np.float64]:
        """Channel gain per loaded subcarrier."""
        return self._unpacked("channel")

    @property
    def sinr_db(self) -> NDArray[np.float64]:
        """Per RB of the burst, as received."""
        return self._unpacked("sinr")

    @property
    def soft_bits(self) -> list[int]:
        """Histogram as in ``BurstReport.soft_bits``."""
        return list(self.signal.soft_bits) if self.signal is not None else []

    def frequencies_khz(self, numerology: Numerology) -> NDArray[np.float64]:
        """Offset from the carrier of each subcarrier in ``channel_db``."""
        if not len(self.channel_db):
            return np.empty(0)
        start, count = self.record.rb_start, self.record.rb_count
        loaded = numerology.loaded_subcarriers(start, count) + numerology.centre_subcarrier(start, count)
        return loaded * numerology.subcarrier_spacing_hz / 1e3

    def _unpacked(self, column: str) -> NDArray[Any]:
        return unpacked(column, getattr(self.signal, column) if self.signal is not None else b"")


def received_bursts(store: RunStore, round_index: int) -> list[ReceivedBurst]:
    """All bursts of a round, in the order they were on the air."""
    signals = {(s.window_index, s.client): s for s in store.signals(round_index)}
    return [ReceivedBurst(b, signals.get((b.window_index, b.client))) for b in store.bursts(round_index)]


def last_received(store: RunStore) -> tuple[list[ReceivedBurst], SpectrumRecord | None]:
    """Each client's last detected data burst of the last round that had one, and its first data window's spectrum.

    Without any: no bursts, and the last spectrum there is.
    """
    rows = store.query("SELECT max(round_index) FROM bursts WHERE kind = 'data' AND detected")
    if rows[0][0] is None:
        rows = store.query("SELECT max(round_index) FROM spectra")
        spectra = list(store.spectra(rows[0][0])) if rows[0][0] is not None else []
        return [], spectra[-1] if spectra else None
    bursts = [b for b in received_bursts(store, rows[0][0]) if b.record.kind == "data" and b.record.detected]
    spectrum = next((s for s in store.spectra(rows[0][0]) if s.kind == "data"), None)
    return list({b.record.client: b for b in bursts}.values()), spectrum
