"""What a front end adds to a signal: mirror images of transmitter and receiver, leaking carrier, DC offset.

One capture shows all of them apart if the transmitter is tuned beside the receiver: with the carriers ``shift`` apart
and a tone at ``f``, the tone is at ``shift + f``, the transmitter's image at ``shift - f``, its carrier at ``shift``,
the receiver's image at ``-(shift + f)`` and its DC offset at 0. Ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.tones import find_tone, level_at
from radio.quantity import Quantity


@dataclass(frozen=True)
class FrontEndLevels:
    """One capture's levels; ``image`` and ``carrier`` over the tone, dB."""

    tone_hz: Quantity
    """Where it was found, from the receiver's carrier."""
    tone_dbfs: Quantity
    transmit_image_db: Quantity
    transmit_carrier_db: Quantity
    receive_image_db: Quantity
    receive_dc_dbfs: Quantity


def front_end_levels(
    samples: NDArray[np.complex64], rate_hz: float, tone_hz: float, shift_hz: float, reach_hz: float
) -> FrontEndLevels | None:
    """Levels in ``samples`` (complex64, full scale 1) of a tone sent at ``tone_hz`` on a carrier ``shift_hz`` higher.

    ``reach_hz``: how far the crystals may bring it from there. None if the tone is not there.
    """
    tone = find_tone(samples, rate_hz, shift_hz + tone_hz, reach_hz)
    if tone is None:
        return None
    measured_hz, level = tone.frequency_hz.value, tone.level_dbfs

    def over_tone(frequency_hz: float) -> Quantity:
        return level_at(samples, rate_hz, frequency_hz).minus(level)

    carrier_hz = measured_hz - tone_hz
    return FrontEndLevels(
        tone_hz=tone.frequency_hz,
        tone_dbfs=level,
        transmit_image_db=over_tone(carrier_hz - tone_hz),
        transmit_carrier_db=over_tone(carrier_hz),
        receive_image_db=over_tone(-measured_hz),
        receive_dc_dbfs=level_at(samples, rate_hz, 0.0),
    )
