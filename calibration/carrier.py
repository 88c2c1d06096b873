"""How far one radio's crystal is from another's, and the ``xo_correction`` that brings them together.

Everything in a Pluto runs from one crystal, so a tone at ``f`` on carrier ``F`` comes out at ``(F + f) r`` and is
measured, in the receiver's own time, where ``(F + f) r - F`` is; ``r`` is the ratio of the two crystals. Ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import SoundingBurst
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.modem.layout import burst_layout
from radio.numerology import Numerology
from radio.quantity import Quantity


@dataclass(frozen=True)
class CarrierOffset:
    """A radio's crystal over the reference's."""

    ppm: Quantity
    carrier_hz: float

    @property
    def hz(self) -> Quantity:
        """At the carrier that it was measured on."""
        return self.ppm.times(1e-6 * self.carrier_hz)


def offset_of_tone(measured_hz: Quantity, sent_hz: float, carrier_hz: float) -> CarrierOffset:
    """From where a tone that was sent at ``sent_hz`` from the carrier was found."""
    radiated_hz = carrier_hz + sent_hz
    ppm = 1e6 * (measured_hz.value - sent_hz) / radiated_hz
    return CarrierOffset(Quantity(ppm, 1e6 * measured_hz.uncertainty / radiated_hz), carrier_hz)


def offset_of_sounding(
    samples: NDArray[np.complex64], burst: SoundingBurst, numerology: Numerology, carrier_hz: float
) -> CarrierOffset | None:
    """From the training of a sounding burst of the modem, found anywhere in ``samples`` (its branch).

    None if the burst is not there. The uncertainty is that of the mean turn from symbol to symbol in the burst's noise.
    """
    from radio.modem import receive

    report = receive(burst, samples, numerology)
    if not report.detected:
        return None
    layout = burst_layout(burst, numerology)
    symbol_s = layout.symbol_samples / layout.sample_rate_hz
    phase_variance = 0.5 * 10.0 ** (-report.snr_db / 10.0) / len(layout.subcarriers)
    turn = math.sqrt(2.0 * phase_variance) / (layout.symbols - 1)
    to_ppm = 1e6 / carrier_hz
    return CarrierOffset(
        Quantity(float(report.cfo_hz) * to_ppm, turn / (2.0 * math.pi * symbol_s) * to_ppm), carrier_hz
    )


def sounding_to_repeat(burst: SoundingBurst, numerology: Numerology) -> NDArray[np.complex64]:
    """A sounding as radios on a desk send it, full scale 1, and as many zeros after it: for a cyclic buffer."""
    from radio.modem import modulate

    samples = modulate(burst, [], numerology) / np.float32(TX_PEAK_AMPLITUDE)
    return np.concatenate([samples, np.zeros_like(samples)])


def one_of(samples: NDArray[np.complex64], burst_samples: int) -> NDArray[np.complex64]:
    """One whole burst of a repeated one, with silence around it as the modem wants it: pieces of others mislead it."""
    silence = burst_samples // 3
    power = np.concatenate([[0.0], np.cumsum(np.abs(samples.astype(np.complex128)) ** 2)])
    energy = power[burst_samples:] - power[:-burst_samples]
    start = silence + int(np.argmax(energy[silence : len(energy) - silence]))
    return samples[start - silence : start + burst_samples + silence]


def corrected_xo_hz(xo_correction_hz: int, ppm: float) -> int:
    """The whole ``xo_correction`` after which a crystal that is ``ppm`` fast agrees with the reference."""
    return round(xo_correction_hz * (1.0 + 1e-6 * ppm))


def step_hz(carrier_hz: float, xo_correction_hz: int) -> float:
    """By how much one step of ``xo_correction`` (1 Hz) moves the carrier."""
    return carrier_hz / xo_correction_hz
