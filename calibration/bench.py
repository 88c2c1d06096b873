"""Plutos on a bench: one sends a tone, another (or itself) receives it, at settings of our choice."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calibration.levels import FrontEndLevels, front_end_levels
from calibration.tones import Tone, find_tone, level_at
from protocol.errors import RadioError
from radio.pluto.attributes import PHY, RECEIVE_GAIN, XO_CORRECTION, Attribute, number_of
from radio.pluto.pluto import Pluto, SamplesLostError
from radio.quantity import Quantity

Samples = NDArray[np.complex64]

CAPTURE_SAMPLES = 1 << 16
BUFFER_SAMPLES = 1 << 12
KERNEL_BUFFERS = 16
"""Many and small: little has to be thrown away before a capture, and a busy machine may still be late."""
LONGEST_BUFFER_SAMPLES = 1 << 16
TONE_PERIOD = 4096
TONE_CYCLES = 419
"""Per period: a tenth of the rate, where filters are flat and nothing else lies."""
TONE_AMPLITUDE = 0.5
TONE_DBFS = 20.0 * float(np.log10(TONE_AMPLITUDE))
SHIFT = 0.07
"""Of the rate: how far a transmitter is tuned beside the receiver to tell images and carriers apart."""
CRYSTALS_PPM = 60.0
"""Two crystals are taken to be no further apart."""
WANTED_DBFS = -15.0
"""Level at which a tone is measured."""
AT_MOST_S = 4.0
"""After so long a tone ends by itself; all of it counts as airtime."""
STEADY_DB = 0.1
_CAPTURES_FOR_ONE = 4
_SHORT_SAMPLES = 1 << 14


def tone_hz(rate_hz: float) -> float:
    """Where the tone is sent, from the carrier."""
    return rate_hz * TONE_CYCLES / TONE_PERIOD


def tone_samples() -> Samples:
    """One period of the tone."""
    tone: Samples = TONE_AMPLITUDE * np.exp(2j * np.pi * TONE_CYCLES / TONE_PERIOD * np.arange(TONE_PERIOD))
    return tone.astype(np.complex64)


def reach_hz(carrier_hz: float, rate_hz: float) -> float:
    """How far from its place the tone is looked for; never as far as the carrier that leaks beside it."""
    return min(CRYSTALS_PPM * 1e-6 * carrier_hz, 0.9 * tone_hz(rate_hz))


def receive(pluto: Pluto, n_samples: int = CAPTURE_SAMPLES) -> Samples:
    """Samples in a row; tried again with longer buffers where this machine lost some. Raises RadioError."""
    buffer_samples = min(BUFFER_SAMPLES, n_samples // 8)
    while buffer_samples < LONGEST_BUFFER_SAMPLES:
        with suppress(SamplesLostError):
            return pluto.receive(n_samples, buffer_samples)
        buffer_samples *= 2
    return pluto.receive(n_samples, buffer_samples)


def start_tone(sender: Pluto, transmit_db: float, shift_hz: float = 0.0) -> None:
    """Send the tone until ``stop_transmitting``, at most ``AT_MOST_S``. Raises RadioError beyond the limits."""
    start_sending(sender, tone_samples(), transmit_db, shift_hz)


def start_sending(sender: Pluto, samples: Samples, transmit_db: float, shift_hz: float = 0.0) -> None:
    """The same with other samples, over and over."""
    sender.configure(replace(sender.in_force, transmit_gain_db=transmit_db, transmit_shift_hz=shift_hz))
    sender.transmit_cyclic(samples, AT_MOST_S)


def set_receive_gain(receiver: Pluto, receive_db: float) -> None:
    """The receiver's gain alone, a transmission goes on. Raises RadioError."""
    if receiver.in_force.receive_gain_db != receive_db:
        receiver.write_attribute(RECEIVE_GAIN, receive_db)
        receiver.settings = replace(receiver.in_force, receive_gain_db=receive_db)


def hear_tone(
    receiver: Pluto, receive_db: float, n_samples: int = CAPTURE_SAMPLES, shift_hz: float = 0.0
) -> Tone | None:
    """The tone in one capture, sent on a carrier ``shift_hz`` beside; None if it is not there."""
    set_receive_gain(receiver, receive_db)
    settings = receiver.in_force
    rate_hz = settings.sample_rate_hz
    return find_tone(
        receive(receiver, n_samples), rate_hz, tone_hz(rate_hz) + shift_hz, reach_hz(settings.carrier_hz, rate_hz)
    )


def hear_steady_tone(receiver: Pluto, receive_db: float, n_samples: int) -> Tone | None:
    """The tone in a capture through which its level stands still; None if there is none in a few captures.

    A level that moves is that of a change of gain still on its way, or of samples lost unseen.
    """
    set_receive_gain(receiver, receive_db)
    settings = receiver.in_force
    rate_hz = settings.sample_rate_hz
    for _ in range(_CAPTURES_FOR_ONE):
        samples = receive(receiver, n_samples)
        tone = find_tone(samples, rate_hz, tone_hz(rate_hz), reach_hz(settings.carrier_hz, rate_hz))
        if tone is None:
            return None
        first, last = (level_at(part, rate_hz, tone.frequency_hz.value) for part in np.array_split(samples, 2))
        step = first.minus(last)
        if abs(step.value) <= STEADY_DB + 4.0 * step.uncertainty:
            return tone
    return None


def find_receive_gain(receiver: Pluto, shift_hz: float = 0.0) -> float | None:
    """A gain at which the tone being sent has about ``WANTED_DBFS``; None if it is heard at none."""
    low_db, high_db = receive_gain_range(receiver)
    for receive_db in np.arange(max(low_db, 0.0), high_db + 1.0, 15.0).tolist():
        tone = hear_tone(receiver, receive_db, _SHORT_SAMPLES, shift_hz)
        if tone is not None:
            wanted = round(receive_db + WANTED_DBFS - tone.level_dbfs.value)
            return float(min(max(wanted, low_db), high_db))
    return None


def front_end(receiver: Pluto, receive_db: float, shift_hz: float) -> FrontEndLevels | None:
    """Images, carriers and DC in one capture of a tone sent ``shift_hz`` beside; None if it is not there."""
    set_receive_gain(receiver, receive_db)
    settings = receiver.in_force
    rate_hz = settings.sample_rate_hz
    near_hz = min(reach_hz(settings.carrier_hz, rate_hz), 0.4 * shift_hz)
    return front_end_levels(receive(receiver), rate_hz, tone_hz(rate_hz), shift_hz, near_hz)


def receive_gain_range(pluto: Pluto) -> tuple[float, float]:
    """Least and greatest gain that can be set at the present carrier, dB."""
    text = pluto.read_attribute(Attribute(PHY, "voltage0", "hardwaregain_available")).strip("[] ")
    return _ends(pluto, text)


def carrier_range_hz(pluto: Pluto) -> tuple[float, float]:
    """Lowest and highest carrier that the firmware allows."""
    text = pluto.read_attribute(Attribute(PHY, "altvoltage1", "frequency_available", True)).strip("[] ")
    return _ends(pluto, text)


def xo_correction_hz(pluto: Pluto) -> int:
    """What the device takes its crystal for (the context's attribute of that name only informs)."""
    return round(number_of(pluto.read_attribute(XO_CORRECTION)))


def level_over_sent(tone: Tone) -> Quantity:
    """Received over sent digital level."""
    return Quantity(tone.level_dbfs.value - TONE_DBFS, tone.level_dbfs.uncertainty)


def _ends(pluto: Pluto, text: str) -> tuple[float, float]:
    words = text.split()
    try:
        return float(words[0]), float(words[2])
    except (IndexError, ValueError) as error:
        raise RadioError(f"{pluto.uri}: '{text}' is no range of an attribute; its firmware may be too old") from error
