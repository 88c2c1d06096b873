"""One burst of one client without samples: SINR per RB, what the receiver would measure, which blocks arrive."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, BurstReport, DataBurst, Window
from protocol.configuration import Experiment
from protocol.random_streams import random_stream
from radio.channel import draws
from radio.channel.fading import Taps, frequency_response
from radio.channel.levels import RX_FULL_SCALE_DBM, digital_gain_offset_db, noise_dbm, path_gain_db
from radio.limits import SILENT_SAMPLES
from radio.link_tables import LinkTables
from radio.modem.absence import absent_report
from radio.modem.layout import BurstLayout, burst_air_samples, burst_coded_bits, burst_layout, max_cfo_hz
from radio.numerology import Numerology
from radio.rates import effective_snr_db

DETECTION_ENERGY = 25.0
"""Energy over noise density of the training searched for, below which a burst is not found (its detector's)."""
OWN_NOISE = 10.0**-4.5
"""What filters, carrier, clock and their tracking leave of a data burst beside it, over its power: measured with
``radio.modem.trial`` at 60 dB of SNR (ours; ``python -m benchmarks.abstract_validation own-noise``)."""


def rb_noise_db(experiment: Experiment, numerology: Numerology) -> NDArray[np.float64]:
    """Noise and jammer power of every RB of the band, dB relative to full scale."""
    channel = experiment.channel
    power = np.full(numerology.rb_total, _linear(noise_dbm(experiment, numerology.rb_bandwidth_hz) - RX_FULL_SCALE_DBM))
    if channel.jammer_rb is not None:
        jammed = slice(channel.jammer_rb, channel.jammer_rb + channel.jammer_rb_count)
        power[jammed] *= 1.0 + _linear(channel.jammer_db)
    return _db(power)


class Path(NamedTuple):
    """What of a client's channel never changes."""

    gain_db: float
    """Mean, between digital powers."""
    offset_ppm: float
    """Its crystal relative to the base station's."""


class AbstractLink:
    """The uplink of one experiment; keeps, per round, the SNR that failed blocks have gathered so far (HARQ)."""

    def __init__(self, experiment: Experiment, numerology: Numerology) -> None:
        """Raises DataError if the link tables cannot be read."""
        self._experiment = experiment
        self._numerology = numerology
        self._tables = LinkTables.load()
        self._rb_noise = _linear(rb_noise_db(experiment, numerology)) / numerology.rb_subcarriers
        self._paths: dict[str, Path] = {}
        self._round_index = -1
        self._gathered: dict[tuple[str, int], float] = {}
        self._taps: dict[str, Taps] = {}
        self._responses: dict[tuple[str, int, int], NDArray[np.complex128]] = {}

    def report(self, window: Window, burst: Burst, blocks: list[bytes] | None) -> BurstReport:
        """What the receiver makes of ``burst``; ``blocks``: what was sent of it, None if nothing was."""
        layout = burst_layout(burst, self._numerology)
        field = self._field(window.round_index, burst, layout)
        snr = np.abs(field) ** 2 / self._noise(burst)[layout.rb_of_subcarrier]
        cfo_hz = self._cfo_hz(burst)
        found = layout.detection_symbols * float(np.sum(snr)) >= DETECTION_ENERGY and abs(cfo_hz) <= max_cfo_hz(burst)
        if blocks is None or not found:
            return absent_report(burst, self._numerology)
        arrived: list[bytes | None] = []
        combined, channel_db, channel = 0, np.zeros(0), b""
        if isinstance(burst, DataBurst):
            arrived, combined = self._outcome(window, burst, snr, blocks)
            power, noise, evm = self._guessed(window, burst, layout, field)
        else:
            # numba: loaded only where soundings are measured
            from radio.abstract.sounding import Sounded, measured

            taps, offset_ppm = self._taps[burst.client], self._path(burst.client).offset_ppm
            sounded = Sounded(window, burst, layout, taps, offset_ppm, field)
            seen = measured(self._experiment, self._numerology, sounded)
            power, noise, evm, channel_db = seen.power, seen.noise, seen.evm, _db(np.abs(seen.channel) ** 2)
            channel = seen.raw.tobytes()
        sent_db = burst.tx_gain_db - _level_db(len(layout.subcarriers)) - digital_gain_offset_db(self._experiment)
        return BurstReport(
            client=burst.client,
            burst_id=burst.burst_id,
            detected=True,
            start_sample=SILENT_SAMPLES + draws.jitter(self._experiment, window, burst.client),
            cfo_hz=cfo_hz,
            rx_power_dbfs=_level_db(np.sum(power * np.bincount(layout.rb_of_subcarrier))),
            snr_db=_level_db(np.mean(power) / np.mean(noise)),
            evm_db=_level_db(evm),
            gain_db=(_db(power) - sent_db).tolist(),
            noise_db=_db(noise * self._numerology.rb_subcarriers).tolist(),
            sinr_db=_db(power / noise).tolist(),
            blocks=arrived,
            blocks_combined=combined,
            air_samples=burst_air_samples(burst, self._numerology),
            coded_bits=burst_coded_bits(burst, self._numerology),
            channel_db=(channel_db - sent_db).tolist(),
            channel=channel,
        )

    def received_db(self, window: Window, burst: Burst) -> NDArray[np.float64]:
        """Power in each RB of the burst, dB relative to full scale."""
        layout = burst_layout(burst, self._numerology)
        field = self._field(window.round_index, burst, layout)
        return _db(np.bincount(layout.rb_of_subcarrier, np.abs(field) ** 2))

    def _field(self, round_index: int, burst: Burst, layout: BurstLayout) -> NDArray[np.complex128]:
        """Amplitude that arrives on each loaded subcarrier, full scale 1: total power is shared by them alike."""
        if round_index != self._round_index:
            self._round_index, self._gathered, self._taps, self._responses = round_index, {}, {}, {}
        place = (burst.client, burst.rb_start, burst.rb_count)
        if place not in self._responses:
            self._responses[place] = self._response(burst, layout)
        power = _linear(self._path(burst.client).gain_db + burst.tx_gain_db) / len(layout.subcarriers)
        return np.asarray(np.sqrt(power) * self._responses[place])

    def _response(self, burst: Burst, layout: BurstLayout) -> NDArray[np.complex128]:
        """Of the client's channel, which is drawn once in a round, on each loaded subcarrier."""
        if burst.client not in self._taps:
            self._taps[burst.client] = draws.taps(self._experiment, self._round_index, burst.client)
        centre = self._numerology.centre_subcarrier(burst.rb_start, burst.rb_count)
        frequency_hz = (centre + layout.subcarriers) * self._numerology.subcarrier_spacing_hz
        return frequency_response(self._taps[burst.client], frequency_hz)

    def _path(self, client: str) -> Path:
        if client not in self._paths:
            gain_db = path_gain_db(self._experiment, self._experiment.member(client))
            gain_db -= digital_gain_offset_db(self._experiment)
            self._paths[client] = Path(gain_db, draws.offset_ppm(self._experiment, client))
        return self._paths[client]

    def _noise(self, burst: Burst) -> NDArray[np.float64]:
        """Noise power per subcarrier in each RB of the burst, full scale 1."""
        return self._rb_noise[burst.rb_start : burst.rb_start + burst.rb_count]

    def _guessed(
        self, window: Window, burst: DataBurst, layout: BurstLayout, field: NDArray[np.complex128]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Signal per RB, noise per RB and error vector power as measured in a data burst; nothing depends on them."""
        size = np.bincount(layout.rb_of_subcarrier)
        power = np.bincount(layout.rb_of_subcarrier, np.abs(field) ** 2) / size
        noise = self._noise(burst) + OWN_NOISE * power
        known = layout.training_symbols * size
        rng = self._stream("abstract measurement", window, burst.client)
        # The relative deviation of a signal's power estimated from so many elements.
        error = rng.standard_normal(len(power)) * np.sqrt(2.0 * noise / (known * power))
        return power * np.exp(error), noise, float(np.sum(noise * size) / np.sum(power * size))

    def _outcome(
        self, window: Window, burst: DataBurst, snr: NDArray[np.float64], blocks: list[bytes]
    ) -> tuple[list[bytes | None], int]:
        """Content of each block, None if lost, and how many took the help of earlier bursts.

        ``snr``: linear, of each loaded subcarrier.
        """
        effective = float(_linear(effective_snr_db(_db(1.0 / (1.0 / snr + OWN_NOISE)), burst.mcs)))
        arrived: list[bytes | None] = []
        combined = 0
        first_rate = self._tables.block_error_rate(burst.mcs, _level_db(effective))
        for block_id, content in zip(burst.block_ids, blocks, strict=True):
            helped = self._gathered.get((burst.client, block_id), 0.0)
            rate = first_rate
            if helped > 0.0:
                rate = self._tables.block_error_rate(burst.mcs, _level_db(effective + helped))
            good = self._drawn_block(window, burst, block_id) >= rate
            combined += int(good and helped > 0.0)
            self._remember(burst, block_id, 0.0 if good else effective + helped)
            arrived.append(content if good else None)
        return arrived, combined

    def _drawn_block(self, window: Window, burst: DataBurst, block_id: int) -> float:
        """With combining one draw holds for all transmissions of a block: its chances add up as its SNR does."""
        if self._experiment.radio.harq == "chase":
            rng = self._stream("abstract block", window.round_index, burst.client, block_id)
        else:
            rng = self._stream("abstract block", window, burst.client, block_id)
        return float(rng.random())

    def _remember(self, burst: DataBurst, block_id: int, snr: float) -> None:
        self._gathered.pop((burst.client, block_id), None)
        if snr > 0.0 and self._experiment.radio.harq == "chase":
            self._gathered[burst.client, block_id] = snr

    def _cfo_hz(self, burst: Burst) -> float:
        offset_hz = 1e-6 * self._path(burst.client).offset_ppm * self._experiment.radio.carrier_hz
        return offset_hz + burst.cfo_correction_hz

    def _stream(self, purpose: str, *key: Window | str | int) -> np.random.Generator:
        parts = [part for k in key for part in ((k.round_index, k.index) if isinstance(k, Window) else (k,))]
        return random_stream(self._experiment.experiment.seed, purpose, *parts)


def _linear(level_db: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(10.0 ** (np.asarray(level_db) / 10.0))


def _level_db(power: float | np.floating[Any]) -> float:
    return float(_db(float(power)))


def _db(power: NDArray[Any] | float) -> NDArray[np.float64]:
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-30)))
