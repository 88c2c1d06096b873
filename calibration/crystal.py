"""A client's crystal brought to the base station's: measured with a tone, corrected, and checked by tone and modem."""

from __future__ import annotations

from dataclasses import replace

from calibration import bench
from calibration.carrier import (
    CarrierOffset,
    corrected_xo_hz,
    offset_of_sounding,
    offset_of_tone,
    one_of,
    sounding_to_repeat,
    step_hz,
)
from protocol.bursts import SoundingBurst
from protocol.errors import ConfigurationError, RadioError
from radio.calibration_file import Crystal
from radio.numerology import numerology_at
from radio.pluto.pluto import Pluto
from radio.quantity import mean_of

ALLOWED_HZ = 5.0
"""What may be left beyond half a step of ``xo_correction``, and between a tone and the modem."""
_CARRIER_CAPTURES = 4
_SOUNDING_PERIODS = 3


def measure_offset(station: Pluto, sender: Pluto, receive_db: float) -> CarrierOffset:
    """Carrier offset of ``sender``, whose tone is being sent, against the base station."""
    offsets = []
    settings = station.in_force
    for _ in range(_CARRIER_CAPTURES):
        tone = bench.hear_tone(station, receive_db)
        if tone is None:
            raise RadioError(unheard(station, sender))
        sent_hz = bench.tone_hz(settings.sample_rate_hz)
        offsets.append(offset_of_tone(tone.frequency_hz, sent_hz, settings.carrier_hz))
    return CarrierOffset(mean_of([offset.ppm for offset in offsets]), settings.carrier_hz)


def correct_crystal(
    station: Pluto, client: Pluto, receive_db: float, before: CarrierOffset, transmit_db: float
) -> Crystal:
    """Write the ``xo_correction`` that brings a client to the base station's carrier, and check that it does.

    Raises RadioError if more than half a step and ``ALLOWED_HZ`` are left.
    """
    correction_hz = corrected_xo_hz(bench.xo_correction_hz(client), before.ppm.value)
    client.configure(replace(client.in_force, xo_correction_hz=correction_hz))
    bench.start_tone(client, transmit_db)
    left = measure_offset(station, client, receive_db)
    allowed_hz = 0.5 * step_hz(left.carrier_hz, correction_hz) + ALLOWED_HZ
    if abs(left.hz.value) > allowed_hz:
        raise RadioError(
            f"{client.uri}: xo_correction = {correction_hz} leaves {left.hz.value:.0f} Hz of offset, more than the "
            f"{allowed_hz:.0f} Hz it should; the crystal drifts: let both radios warm up, then calibrate again"
        )
    heard = offset_by_sounding(station, client, receive_db, transmit_db)
    if heard is not None and abs(heard.hz.value - left.hz.value) > ALLOWED_HZ + 4.0 * heard.hz.uncertainty:
        raise RadioError(
            f"{client.uri}: the modem finds {heard.hz.value:.0f} Hz of offset where a tone says "
            f"{left.hz.value:.0f} Hz; the crystal drifts: let both radios warm up, then calibrate again"
        )
    return Crystal(
        xo_correction_hz=correction_hz,
        left_ppm=left.ppm,
        sounding_ppm=None if heard is None else heard.ppm,
        reference=station.serial,
    )


def offset_by_sounding(station: Pluto, client: Pluto, receive_db: float, transmit_db: float) -> CarrierOffset | None:
    """Carrier offset as the modem finds it in a sounding burst; None at a sample rate that it does not use.

    ``receive_db``: at which a tone has ``bench.WANTED_DBFS``. Raises RadioError if the burst is not found.
    """
    settings = station.in_force
    try:
        numerology = numerology_at(settings.sample_rate_hz)
    except ConfigurationError:
        return None
    burst = SoundingBurst(client="", burst_id=0, rb_start=0, rb_count=numerology.rb_total)
    samples = sounding_to_repeat(burst, numerology)
    bench.start_sending(client, samples, transmit_db)
    bench.set_receive_gain(station, receive_db)
    received = one_of(bench.receive(station, _SOUNDING_PERIODS * len(samples)), len(samples) // 2)
    heard = offset_of_sounding(received, burst, numerology, settings.carrier_hz)
    if heard is None:
        raise RadioError(f"{client.uri}: {station.uri} hears its tone, but the modem does not find its sounding burst")
    return heard


def unheard(station: Pluto, sender: Pluto) -> str:
    """What to say of a sender whose tone is not there."""
    return (
        f"{sender.uri}: its tone is not heard at {station.uri}; is its transmitter cabled to that receiver? "
        "airtune doctor tells more"
    )
