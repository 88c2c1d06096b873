"""What tests of the Pluto device layer set, send and look at; the fixtures are in ``conftest.py``."""

from __future__ import annotations

import numpy as np

from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, Settings

RATE_HZ = 2e6
SETTINGS = Settings(carrier_hz=915e6, receive_gain_db=30.0, transmit_gain_db=-10.0, kernel_buffers=32)


def device_of(plutos, name):
    """Settings inside a virtual Pluto."""
    return plutos.server(name).radio.front_end.settings


def is_off(plutos, name):
    settings = device_of(plutos, name)
    return not settings.transmit_lo_on and settings.transmit_gain_db == LEAST_TRANSMIT_GAIN_DB and not settings.tones


def ignore_writes(patch, plutos, name, ignored):
    """A virtual Pluto that takes values for which ``ignored(attribute, text)``, and does nothing with them."""
    device = plutos.server(name).radio.device
    honest = device.write
    patch.setattr(device, "write", lambda target, name, text: ignored(name, text) or honest(target, name, text))


def tone(n, cycles_per_sample=0.05, amplitude=0.5):
    return (amplitude * np.exp(2j * np.pi * cycles_per_sample * np.arange(n))).astype(np.complex64)
