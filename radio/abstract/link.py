"""One burst of one client without samples: SINR per RB, what the receiver would measure, which blocks arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, BurstReport, DataBurst, SoundingBurst, Window
from protocol.configuration import Experiment
from protocol.random_streams import random_stream
from radio.channel import draws
from radio.channel.fading import frequency_response
from radio.channel.levels import RX_FULL_SCALE_DBM, noise_dbm, path_gain_db
from radio.limits import SILENT_SAMPLES
from radio.link_tables import LinkTables
from radio.modem.absence import absent_report
from radio.modem.layout import burst_air_samples, burst_coded_bits, burst_layout, max_cfo_hz
from radio.numerology import Numerology
from radio.rates import effective_snr_db

DETECTION_ENERGY = 25.0
"""Energy over noise density of the training searched for, below which a burst is not found (its detector's)."""
LARGEST_SNR_DB = 40.0
"""SINR that the real receiver reports at most: its own filters and estimates."""


def rb_noise_db(experiment: Experiment, numerology: Numerology) -> NDArray[np.float64]:
    """Noise and jammer power of every RB of the band, dB relative to full scale."""
    channel = experiment.channel
    power = np.full(numerology.rb_total, _linear(noise_dbm(experiment, numerology.rb_bandwidth_hz) - RX_FULL_SCALE_DBM))
    if channel.jammer_rb is not None:
        jammed = slice(channel.jammer_rb, channel.jammer_rb + channel.jammer_rb_count)
        power[jammed] *= 1.0 + _linear(channel.jammer_db)
    return _db(power)


class AbstractLink:
    """The uplink of one experiment; keeps, per round, the SNR that failed blocks have gathered so far (HARQ)."""

    def __init__(self, experiment: Experiment, numerology: Numerology) -> None:
        """Raises DataError if the link tables cannot be read."""
        self._experiment = experiment
        self._numerology = numerology
        self._tables = LinkTables.load()
        self._noise_db = rb_noise_db(experiment, numerology)
        self._round_index = -1
        self._gathered: dict[tuple[str, int], float] = {}

    def report(self, window: Window, burst: Burst, blocks: list[bytes] | None) -> BurstReport:
        """What the receiver makes of ``burst``; ``blocks``: what was sent of it, None if nothing was."""
        if window.round_index != self._round_index:
            self._round_index, self._gathered = window.round_index, {}
        layout = burst_layout(burst, self._numerology)
        received_db = self.received_db(window, burst)
        noise_db = self._noise_db[burst.rb_start : burst.rb_start + burst.rb_count]
        sinr = _linear(received_db - noise_db)
        elements = layout.detection_symbols * len(layout.subcarriers)
        cfo_hz = self._cfo_hz(burst)
        found = elements * float(np.mean(sinr)) >= DETECTION_ENERGY and abs(cfo_hz) <= max_cfo_hz(burst)
        if blocks is None or not found:
            return absent_report(burst, self._numerology)
        known = layout.training_symbols * np.bincount(layout.rb_of_subcarrier)
        arrived, combined = self._outcome(window, burst, _db(sinr), blocks)
        rng = self._stream("abstract measurement", window, burst.client)
        # The relative variance of a noise power estimated from so many elements, and of the signal's beside it.
        error = rng.standard_normal(len(sinr)) * np.sqrt((1.0 + 2.0 / sinr) / known)
        measured_db = np.minimum(_db(sinr) + 10.0 * np.log10(np.e) * error, LARGEST_SNR_DB)
        return BurstReport(
            client=burst.client,
            burst_id=burst.burst_id,
            detected=True,
            start_sample=SILENT_SAMPLES + draws.jitter(self._experiment, window, burst.client),
            cfo_hz=cfo_hz,
            rx_power_dbfs=_level_db(np.sum(_linear(received_db))),
            snr_db=_level_db(np.mean(_linear(received_db)) / np.mean(_linear(noise_db))),
            evm_db=-min(_level_db(np.mean(sinr)), LARGEST_SNR_DB),
            gain_db=self._gain_db(window, burst).tolist(),
            noise_db=noise_db.tolist(),
            sinr_db=measured_db.tolist(),
            blocks=arrived,
            blocks_combined=combined,
            air_samples=burst_air_samples(burst, self._numerology),
            coded_bits=burst_coded_bits(burst, self._numerology),
        )

    def received_db(self, window: Window, burst: Burst) -> NDArray[np.float64]:
        """Power in each RB of the burst, dB relative to full scale."""
        sent_dbm = self._experiment.radio.tx_power_dbm + burst.tx_gain_db - float(_db(float(burst.rb_count)))
        received: NDArray[np.float64] = sent_dbm + self._gain_db(window, burst) - RX_FULL_SCALE_DBM
        return received

    def _gain_db(self, window: Window, burst: Burst) -> NDArray[np.float64]:
        """Power gain of each RB of the burst, dB: path and this round's fade."""
        taps = draws.taps(self._experiment, window.round_index, burst.client)
        centre = self._numerology.centre_subcarrier(burst.rb_start, burst.rb_count)
        layout = burst_layout(burst, self._numerology)
        frequency_hz = (centre + layout.subcarriers) * self._numerology.subcarrier_spacing_hz
        power = np.abs(frequency_response(taps, frequency_hz)) ** 2
        per_rb = np.bincount(layout.rb_of_subcarrier, power) / np.bincount(layout.rb_of_subcarrier)
        member = self._experiment.member(burst.client)
        return path_gain_db(self._experiment, member) + _db(per_rb)

    def _outcome(
        self, window: Window, burst: Burst, sinr_db: NDArray[np.float64], blocks: list[bytes]
    ) -> tuple[list[bytes | None], int]:
        """Content of each block, None if lost, and how many took the help of earlier bursts."""
        if isinstance(burst, SoundingBurst):
            return [], 0
        snr = float(_linear(effective_snr_db(sinr_db, burst.mcs)))
        arrived: list[bytes | None] = []
        combined = 0
        for block_id, content in zip(burst.block_ids, blocks, strict=True):
            helped = self._gathered.get((burst.client, block_id), 0.0)
            good = self._arrives(window, burst, block_id, _level_db(snr + helped))
            combined += int(good and helped > 0.0)
            self._remember(burst, block_id, 0.0 if good else snr + helped)
            arrived.append(content if good else None)
        return arrived, combined

    def _arrives(self, window: Window, burst: DataBurst, block_id: int, snr_db: float) -> bool:
        """With combining one draw holds for all transmissions of a block: its chances add up as its SNR does."""
        if self._experiment.radio.harq == "chase":
            rng = self._stream("abstract block", window.round_index, burst.client, block_id)
        else:
            rng = self._stream("abstract block", window, burst.client, block_id)
        return bool(rng.random() >= self._tables.block_error_rate(burst.mcs, snr_db))

    def _remember(self, burst: DataBurst, block_id: int, snr: float) -> None:
        self._gathered.pop((burst.client, block_id), None)
        if snr > 0.0 and self._experiment.radio.harq == "chase":
            self._gathered[burst.client, block_id] = snr

    def _cfo_hz(self, burst: Burst) -> float:
        offset_hz = 1e-6 * draws.offset_ppm(self._experiment, burst.client) * self._experiment.radio.carrier_hz
        return offset_hz + burst.cfo_correction_hz

    def _stream(self, purpose: str, *key: Window | str | int) -> np.random.Generator:
        parts = [part for k in key for part in ((k.round_index, k.index) if isinstance(k, Window) else (k,))]
        return random_stream(self._experiment.experiment.seed, purpose, *parts)


def _linear(level_db: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(10.0 ** (np.asarray(level_db) / 10.0))


def _level_db(power: float | np.floating[Any]) -> float:
    return float(_db(float(power)))


def _db(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-30)))
