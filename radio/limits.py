"""What a transmitter accepts, the limits of a burst and of the window around it, and what it reports.

The same for every driver; hardware profiles may be narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from protocol.bursts import Burst, TransmitReport, Window
from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.modem import burst_air_samples
from radio.modem.layout import check_burst_length
from radio.numerology import Numerology, numerology_at

SILENT_SAMPLES = 1024
"""Zeros on either side of a burst in its window."""
_POWER_ROUNDING_DB = 1e-6


def experiment_numerology(experiment: Experiment) -> Numerology:
    """The grid of the experiment's sample rate. Raises ConfigurationError if there is none."""
    return numerology_at(experiment.radio.sample_rate_hz)


def window_samples(air_samples: int, jitter_samples: int) -> int:
    """Length of the window that holds a burst of ``air_samples`` wherever the driver starts it, samples."""
    return 2 * SILENT_SAMPLES + jitter_samples + air_samples


def check_expected(bursts: Sequence[Burst], numerology: Numerology) -> None:
    """Raise an AirtuneError, with the reason, if ``bursts`` cannot be expected in one window."""
    if len({burst.client for burst in bursts}) < len(bursts):
        raise RadioError("two bursts of one client in a window: a client sends one burst at a time")
    for burst in bursts:
        check_burst_length(burst, numerology)


def check_burst(experiment: Experiment, numerology: Numerology, window: Window, burst: Burst) -> None:
    """Raise an AirtuneError, with the reason, if ``burst`` may not go on the air in ``window``."""
    check_burst_length(burst, numerology)
    _check_power(experiment, numerology, burst)
    needed = window_samples(burst_air_samples(burst, numerology), experiment.radio.jitter_samples)
    if window.n_samples < needed:
        raise RadioError(f"a window of {window.n_samples} samples is too short: this burst needs {needed}")


def transmit_report(
    experiment: Experiment, numerology: Numerology, burst: Burst, clipped: int, spent_s: float
) -> TransmitReport:
    """What a radio that sent ``burst`` reports: power and energy follow from the grant."""
    air_samples = burst_air_samples(burst, numerology)
    power_dbm = experiment.radio.tx_power_dbm + burst.tx_gain_db
    energy_j = 10.0 ** ((power_dbm - 30.0) / 10.0) * air_samples / numerology.sample_rate_hz
    return TransmitReport(air_samples, power_dbm, energy_j, clipped, spent_s)


def _check_power(experiment: Experiment, numerology: Numerology, burst: Burst) -> None:
    if burst.tx_gain_db > 0.0:
        raise RadioError(f"transmit gain {burst.tx_gain_db:.1f} dB is above full power (0 dB)")
    density_db = burst.tx_gain_db + 10.0 * math.log10(numerology.rb_total / burst.rb_count)
    cap_db = experiment.radio.psd_cap_db
    if density_db > cap_db + _POWER_ROUNDING_DB:
        raise RadioError(
            f"power per resource block {density_db:.1f} dB above the full-band level: radio.psd_cap_db is {cap_db:.1f}"
        )
