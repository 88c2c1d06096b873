"""The uplink on which nothing is lost: for ``tsfa.allocation = "ideal"``, the reference without a channel (ours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, BurstReport, Window
from protocol.configuration import Experiment
from radio.abstract.link import rb_noise_db
from radio.channel.levels import RX_FULL_SCALE_DBM
from radio.limits import SILENT_SAMPLES
from radio.modem.absence import absent_report
from radio.modem.layout import burst_air_samples, burst_coded_bits
from radio.numerology import Numerology

SNR_DB = 40.0
"""Of every RB of every burst, whatever its power, place and company: enough for the fastest MCS."""


class IdealLink:
    """Stands where ``AbstractLink`` does. Every burst that is sent arrives whole, overlapping ones too."""

    def __init__(self, experiment: Experiment, numerology: Numerology) -> None:
        self._tx_power_dbm = experiment.radio.tx_power_dbm
        self._numerology = numerology
        self._noise_db = rb_noise_db(experiment, numerology)

    def report(self, window: Window, burst: Burst, blocks: list[bytes] | None) -> BurstReport:
        """All of ``blocks``; None: nothing was sent."""
        if blocks is None:
            return absent_report(burst, self._numerology)
        received_db = self.received_db(window, burst)
        sent_db = self._tx_power_dbm + burst.tx_gain_db - 10.0 * np.log10(burst.rb_count) - RX_FULL_SCALE_DBM
        return BurstReport(
            client=burst.client,
            burst_id=burst.burst_id,
            detected=True,
            start_sample=SILENT_SAMPLES,
            rx_power_dbfs=float(10.0 * np.log10(np.sum(10.0 ** (received_db / 10.0)))),
            snr_db=SNR_DB,
            evm_db=-SNR_DB,
            gain_db=(received_db - sent_db).tolist(),
            noise_db=(received_db - SNR_DB).tolist(),
            sinr_db=[SNR_DB] * burst.rb_count,
            blocks=list(blocks),
            air_samples=burst_air_samples(burst, self._numerology),
            coded_bits=burst_coded_bits(burst, self._numerology),
        )

    def received_db(self, _: Window, burst: Burst) -> NDArray[np.float64]:
        """Power in each RB of the burst, dB relative to full scale."""
        received: NDArray[np.float64] = self._noise_db[burst.rb_start : burst.rb_start + burst.rb_count] + SNR_DB
        return received
