"""Calibrating Plutos that are joined by cables: every client's transmitter into the base station's receiver.

In this order, client by client: carrier offset (``xo_correction`` is written and checked), gain steps of both sides,
images and leaking carrier; then the base station's noise, and what a cable of known attenuation makes of it all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration import bench
from calibration.carrier import CarrierOffset
from calibration.crystal import correct_crystal, measure_offset, unheard
from calibration.gains import LEAST_READING_DB, MEDIAN_OF_NORMAL, GainTables, Reading, fit_gains
from calibration.levels import FrontEndLevels
from calibration.noise import noise_density, noise_figure_db
from protocol.errors import RadioError
from radio.calibration_file import (
    CableReference,
    Calibration,
    Crystal,
    Gain,
    Receiver,
    Transmitter,
    gain_at,
    now_utc,
)
from radio.pluto.pluto import Pluto
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, Settings
from radio.quantity import Quantity, mean_of

NOMINAL_FULL_SCALE_DBM = Quantity(7.0, 3.0)
"""Power of digital full scale at transmit gain 0 dB, of a Pluto that nobody measured: its data sheet's, and a guess."""
GAIN_STEP_DB = 5.0
GOOD_READING_DBFS = -35.0
"""Only what lies at the ends of both gain tables is measured with weaker tones."""
LOWEST_READING_DBFS = -50.0
"""Weaker tones move the converter by so few of its steps that their level is wrong."""
HIGHEST_READING_DBFS = -8.0
_UNSURE_DB = 0.15
"""Readings less sure than this are left out."""
_GAIN_SAMPLES = 1 << 14
_NOISE_SAMPLES = 1 << 17
_NOISE_GAIN_DB = 60.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is calibrated, and what is known beforehand."""

    carrier_hz: float
    sample_rate_hz: float
    transmit_gain_db: float
    """Highest gain that is sent with; there the transmitter's gain is the setting itself, by definition."""
    receive_gain_db: float
    """Gain that is received with; there the receiver's gain is the setting itself, if the cable lets it be measured."""
    cable_db: Quantity | None = None
    """Attenuation between each client's transmitter and the base station's receiver."""
    full_scale_dbm: Quantity = NOMINAL_FULL_SCALE_DBM
    """Power that a client sends at digital full scale and gain 0 dB."""


@dataclass(frozen=True)
class Pair:
    """What was measured of one client."""

    name: str
    client: Pluto
    before: CarrierOffset
    crystal: Crystal
    tables: GainTables
    levels: FrontEndLevels


@dataclass(frozen=True)
class Outcome:
    """Of a whole calibration, the base station's first."""

    station: Calibration
    clients: list[Calibration]
    before: dict[str, CarrierOffset]
    """Carrier offset of each client as it was found, by serial number."""


def calibrate(station: Pluto, clients: Mapping[str, Pluto], plan: Plan, tell: Tell) -> Outcome:
    """Measure everything; ``tell`` hears each step. Raises RadioError, one line, if a radio is not heard.

    ``clients``: by what they are called.
    """
    settings = Settings(
        carrier_hz=plan.carrier_hz,
        sample_rate_hz=plan.sample_rate_hz,
        transmit_gain_db=LEAST_TRANSMIT_GAIN_DB,
        receive_gain_db=plan.receive_gain_db,
        kernel_buffers=bench.KERNEL_BUFFERS,
    )
    for pluto in (station, *clients.values()):
        pluto.configure(settings)
    pairs = [_measure_pair(station, name, client, plan, tell) for name, client in clients.items()]
    gains = _joined([pair.tables.receive for pair in pairs])
    references = [] if plan.cable_db is None else [_reference(pair, gains, plan.cable_db) for pair in pairs]
    tell("noise of the base station")
    receiver = _measure_receiver(station, pairs, gains, references, plan)
    return Outcome(
        station=_file(
            station,
            plan,
            crystal=Crystal(
                xo_correction_hz=bench.xo_correction_hz(station),
                left_ppm=Quantity(0.0, 0.0),
                reference=station.serial,
            ),
            receiver=receiver,
            references=references,
        ),
        clients=[_file(pair.client, plan, crystal=pair.crystal, transmitter=_transmitter(pair)) for pair in pairs],
        before={pair.client.serial: pair.before for pair in pairs},
    )


def _measure_pair(station: Pluto, name: str, client: Pluto, plan: Plan, tell: Tell) -> Pair:
    """Everything of one client; its transmitter is off again afterwards, whatever happens."""
    try:
        tell(f"{name}: carrier offset")
        bench.start_tone(client, plan.transmit_gain_db)
        receive_db = bench.find_receive_gain(station)
        if receive_db is None:
            raise RadioError(unheard(station, client))
        before = measure_offset(station, client, receive_db)
        crystal = correct_crystal(station, client, receive_db, before, plan.transmit_gain_db)
        tell(f"{name}: gain steps")
        readings = _read_gains(station, client, receive_db, plan)
        reference_db = min((r.receive_db for r in readings), key=lambda g: abs(g - plan.receive_gain_db))
        tables = fit_gains(readings, plan.transmit_gain_db, reference_db)
        tell(f"{name}: images and leaking carrier")
        shift_hz = bench.SHIFT * plan.sample_rate_hz
        bench.start_tone(client, plan.transmit_gain_db, shift_hz)
        levels = bench.front_end(station, receive_db, shift_hz)
        if levels is None:
            raise RadioError(unheard(station, client))
    finally:
        client.stop_transmitting()
    return Pair(name, client, before, crystal, tables, levels)


def _read_gains(station: Pluto, client: Pluto, receive_db: float, plan: Plan) -> list[Reading]:
    """Readings at pairs of settings ``GAIN_STEP_DB`` apart whose level can be trusted.

    ``receive_db``: a gain at which the tone, sent at the plan's gain, has ``bench.WANTED_DBFS``.
    """
    low_db, high_db = bench.receive_gain_range(station)
    receive_steps = _steps(max(low_db, 0.0), high_db, plan.receive_gain_db)
    readings = []
    transmit_db = plan.transmit_gain_db
    while transmit_db >= LEAST_TRANSMIT_GAIN_DB:
        lost_db = plan.transmit_gain_db - transmit_db
        levels = {gain: bench.WANTED_DBFS + gain - receive_db - lost_db for gain in receive_steps}
        usable = [
            gain
            for gain, level in levels.items()
            if (GOOD_READING_DBFS if lost_db > 0.0 and gain < receive_steps[-1] else LOWEST_READING_DBFS)
            <= level
            <= HIGHEST_READING_DBFS
        ]
        if not usable:
            break
        bench.start_tone(client, transmit_db)
        for gain_db in usable:
            tone = bench.hear_steady_tone(station, gain_db, _GAIN_SAMPLES)
            if tone is not None and tone.level_dbfs.uncertainty < _UNSURE_DB:
                readings.append(Reading(transmit_db, gain_db, bench.level_over_sent(tone)))
        transmit_db -= GAIN_STEP_DB
    return readings


def _steps(low_db: float, high_db: float, through_db: float) -> list[float]:
    """Settings ``GAIN_STEP_DB`` apart, one of them ``through_db``."""
    below = int((through_db - low_db) // GAIN_STEP_DB)
    above = int((high_db - through_db) // GAIN_STEP_DB)
    return [through_db + k * GAIN_STEP_DB for k in range(-below, above + 1)]


def _joined(tables: list[dict[float, Quantity]]) -> list[Gain]:
    """One table of the receiver's gains out of those that each client's tone gave."""
    settings = sorted({setting for table in tables for setting in table})
    return [
        Gain(setting_db=setting, gain_db=mean_of([table[setting] for table in tables if setting in table]))
        for setting in settings
    ]


def _reference(pair: Pair, gains: list[Gain], cable_db: Quantity) -> CableReference:
    """Cable reference of a client, with the gain tables that its readings will be used with."""
    sent = _gains(pair.tables.transmit)
    paths = np.array(
        [
            reading.level_db.value - gain_at(sent, reading.transmit_db).value - gain_at(gains, reading.receive_db).value
            for reading in pair.tables.readings
        ]
    )
    offset_db = float(np.median(paths))
    scatter = float(np.median(np.abs(paths - offset_db))) / MEDIAN_OF_NORMAL
    scatter = max(LEAST_READING_DB, pair.tables.path_db.uncertainty, scatter)
    return CableReference(
        name=pair.name,
        transmitter=pair.client.serial,
        attenuation_db=cable_db,
        offset_db=Quantity(offset_db, scatter).plus(cable_db),
        date=now_utc().isoformat(),
    )


def _measure_receiver(
    station: Pluto, pairs: list[Pair], gains: list[Gain], references: list[CableReference], plan: Plan
) -> Receiver:
    """The base station's receiver, all transmitters off."""
    low_db, high_db = bench.receive_gain_range(station)
    noise_gain_db = min(_NOISE_GAIN_DB, high_db)
    density = {}
    for gain_db in (noise_gain_db, low_db):
        bench.set_receive_gain(station, gain_db)
        density[gain_db] = noise_density(bench.receive(station, _NOISE_SAMPLES), plan.sample_rate_hz)
    full_scale = _receive_full_scale(references, plan)
    figure = None
    if full_scale is not None:
        gain = gain_at(gains, noise_gain_db)
        figure = noise_figure_db(density[noise_gain_db], density[low_db], gain, full_scale)
    return Receiver(
        gains=gains,
        image_db=mean_of([pair.levels.receive_image_db for pair in pairs]),
        dc_dbfs=mean_of([pair.levels.receive_dc_dbfs for pair in pairs]),
        noise_dbfs_hz=density[noise_gain_db],
        noise_gain_db=noise_gain_db,
        noise_figure_db=figure,
        full_scale_dbm=full_scale,
    )


def _receive_full_scale(references: list[CableReference], plan: Plan) -> Quantity | None:
    """Power that is full scale at gain 0 dB; what the clients' own power is unsure of stays, however many there are."""
    if not references:
        return None
    offset = mean_of([reference.offset_db for reference in references])
    return plan.full_scale_dbm.minus(offset)


def _transmitter(pair: Pair) -> Transmitter:
    return Transmitter(
        gains=_gains(pair.tables.transmit),
        image_db=pair.levels.transmit_image_db,
        carrier_db=pair.levels.transmit_carrier_db,
    )


def _gains(table: dict[float, Quantity]) -> list[Gain]:
    return [Gain(setting_db=setting, gain_db=gain) for setting, gain in table.items()]


def _file(
    pluto: Pluto,
    plan: Plan,
    crystal: Crystal,
    transmitter: Transmitter | None = None,
    receiver: Receiver | None = None,
    references: Sequence[CableReference] = (),
) -> Calibration:
    return Calibration(
        serial=pluto.serial,
        firmware=pluto.firmware,
        date=now_utc().isoformat(),
        temperature_c=pluto.temperature_c(),
        carrier_hz=plan.carrier_hz,
        sample_rate_hz=plan.sample_rate_hz,
        crystal=crystal,
        transmitter=transmitter,
        receiver=receiver,
        references=list(references),
    )
