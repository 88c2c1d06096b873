"""What real converters and mixers do to samples: image, LO leakage, DC, quantisation.

Pure functions that need no experiment. Levels of the ``pluto`` preset: image -45 dBc, LO leakage -40 dBc and
12 bits are asked of the testbed; DC -40 dBc and 12 dB of headroom are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.complex64]

STRETCH_SAMPLES = 1024
"""The receiver's gain follows the strongest stretch of this length."""


@dataclass(frozen=True)
class HardwareImpairments:
    """Levels of one kind of radio."""

    transmit_image_db: float = -45.0
    """Image power over the power of the signal sent."""
    lo_leakage_db: float = -40.0
    """Power of the carrier that leaks while a burst is sent, over digital power 1 (``tx_gain_db = 0``)."""
    receive_image_db: float = -45.0
    """Image power over the power of everything received."""
    receive_dc_db: float = -40.0
    """Power of the receiver's DC offset over that of the strongest stretch."""
    converter_bits: int = 12
    receive_headroom_db: float = 12.0
    """Full scale of the receiving converter over the RMS of the strongest stretch: a perfect gain control."""


PLUTO = HardwareImpairments()
PRESETS: dict[str, HardwareImpairments | None] = {"none": None, "pluto": PLUTO}


class RadioPhases(NamedTuple):
    """What one radio's image and carrier leak have for a phase, rad; fixed for the life of a radio."""

    image: float
    carrier: float


def draw_phases(rng: np.random.Generator) -> RadioPhases:
    """Phases of a radio, uniform."""
    image, carrier = rng.uniform(0.0, 2.0 * np.pi, 2)
    return RadioPhases(float(image), float(carrier))


def impair_transmission(
    samples: Samples, hardware: HardwareImpairments, phases: RadioPhases, full_scale: float
) -> Samples:
    """What leaves the antenna of a transmitter fed with ``samples``: complex64 (n,), same levels.

    ``full_scale``: largest amplitude of the converter. In order: quantisation, image, LO leakage, the latter from
    the first to the last sample that is not zero; outside the transmitter is off.
    """
    loaded = np.flatnonzero(samples)
    sent = np.zeros(len(samples), np.complex64)
    if len(loaded) == 0:
        return sent
    on = slice(int(loaded[0]), int(loaded[-1]) + 1)
    quantised, _ = quantise(samples[on], full_scale, hardware.converter_bits)
    leakage = _amplitude(hardware.lo_leakage_db, phases.carrier)
    sent[on] = with_image(quantised, hardware.transmit_image_db, phases.image) + leakage
    return sent


def impair_reception(
    samples: Samples, hardware: HardwareImpairments, phases: RadioPhases, full_scale: float
) -> tuple[Samples, int]:
    """What a receiver makes of ``samples`` at its antenna: complex64 (n,), same levels, and how many it clipped.

    In order: image, DC offset, converter. The converter's full scale lies ``receive_headroom_db`` above the
    strongest stretch of these very samples, at most at ``full_scale``, and is taken out again afterwards.
    """
    strongest = strongest_rms(samples)
    if strongest == 0.0:
        return samples, 0
    received = with_image(samples, hardware.receive_image_db, phases.image)
    received += _amplitude(hardware.receive_dc_db, phases.carrier) * np.float32(strongest)
    controlled = min(full_scale, strongest * 10.0 ** (hardware.receive_headroom_db / 20.0))
    return quantise(received, controlled, hardware.converter_bits)


def with_image(samples: Samples, image_db: float, phase: float) -> Samples:
    """``samples`` plus their mirror image about the carrier, ``image_db`` relative to them."""
    return samples + _amplitude(image_db, phase) * np.conj(samples)


def quantise(samples: Samples, full_scale: float, bits: int) -> tuple[Samples, int]:
    """Both parts of every sample rounded to one of 2^bits uniform levels; and the number of samples clipped.

    Levels lie at -``full_scale`` .. ``full_scale`` less one step; zero is one of them.
    """
    step = np.float32(2.0 * full_scale / 2**bits)
    levels = np.rint(samples.view(np.float32) / step)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    beyond = (levels < lowest) | (levels > highest)
    clipped = int(np.count_nonzero(beyond.reshape(-1, 2).any(axis=1)))
    quantised: Samples = (np.clip(levels, lowest, highest) * step).view(np.complex64)
    return quantised, clipped


def strongest_rms(samples: Samples) -> float:
    """RMS of the strongest stretch of ``STRETCH_SAMPLES`` (of everything, if there is less)."""
    whole = len(samples) - len(samples) % STRETCH_SAMPLES or len(samples)
    power = np.abs(samples[:whole].reshape(-1, min(whole, STRETCH_SAMPLES))) ** 2
    return float(np.sqrt(power.mean(axis=1).max()))


def _amplitude(power_db: float, phase: float) -> np.complex64:
    return np.complex64(10.0 ** (power_db / 20.0) * np.exp(1j * phase))
