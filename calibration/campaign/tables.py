"""A campaign's soundings and their estimates as one Parquet table (docs/campaign.md lists its columns)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibration.campaign.estimates import SoundingEstimates, SoundingGrid, estimate_sounding, sounding_grid
from calibration.campaign.plan import CampaignPlan
from calibration.campaign.records import Sounding
from protocol.files import write_atomically
from radio.limits import experiment_numerology

SOUNDINGS_TABLE = "soundings.parquet"


def write_tables(directory: Path, plan: CampaignPlan, soundings: Sequence[Sounding]) -> list[Path]:
    """Write the table of all soundings; the paths written. Raises StorageError."""
    # pyarrow takes a third of a second to import.
    import pyarrow as pa
    import pyarrow.parquet as pq

    grid = sounding_grid(experiment_numerology(plan.experiment))
    rows = [_row(sounding, grid) for sounding in soundings]
    schema = pa.schema(_columns(pa), {"airtune:campaign": plan.name, "airtune:driver": plan.experiment.radio.driver})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    path = directory / SOUNDINGS_TABLE
    write_atomically(path, buffer.getvalue())
    return [path]


def _columns(pa: Any) -> list[tuple[str, Any]]:
    number, numbers = pa.float64(), pa.list_(pa.float64())
    return [
        ("sweep", pa.int64()), ("transmitter", pa.string()), ("receiver", pa.string()), ("time_s", number),
        ("taken_at", pa.string()), ("detected", pa.bool_()), ("distance_m", number), ("transmitter_m", numbers),
        ("receiver_m", numbers), ("note", pa.string()), ("gain_db", number), ("gain_uncertainty_db", number),
        ("rb_gain_db", numbers), ("rb_gain_uncertainty_db", numbers), ("sinr_db", numbers),
        ("sinr_uncertainty_db", numbers), ("noise_db", numbers), ("silent_noise_db", numbers),
        ("cfo_hz", number), ("cfo_uncertainty_hz", number), ("delay_spread_s", number),
        ("delay_spread_uncertainty_s", number), ("tx_gain_db", number), ("clipped_samples", pa.int64()),
        ("channel_real", pa.list_(pa.float32())), ("channel_imag", pa.list_(pa.float32())),
    ]  # fmt: skip


def _row(sounding: Sounding, grid: SoundingGrid) -> dict[str, Any]:
    """One line of the table; what was not measured is missing."""
    place = {
        name: getattr(sounding, name)
        for name in ("sweep", "transmitter", "receiver", "time_s", "taken_at", "detected", "distance_m",
                     "transmitter_m", "receiver_m", "note", "silent_noise_db")
    }  # fmt: skip
    if not sounding.detected:
        return place
    return {**place, **_measured(sounding, estimate_sounding(sounding, grid))}


def _measured(sounding: Sounding, seen: SoundingEstimates) -> dict[str, Any]:
    return {
        "gain_db": seen.gain_db.value,
        "gain_uncertainty_db": seen.gain_db.uncertainty,
        "rb_gain_db": sounding.gain_db,
        "rb_gain_uncertainty_db": seen.rb_gain_uncertainty_db,
        "sinr_db": sounding.sinr_db,
        "sinr_uncertainty_db": seen.sinr_uncertainty_db,
        "noise_db": sounding.noise_db,
        "cfo_hz": seen.cfo_hz.value,
        "cfo_uncertainty_hz": seen.cfo_hz.uncertainty,
        "delay_spread_s": seen.delay_spread_s.value,
        "delay_spread_uncertainty_s": seen.delay_spread_s.uncertainty,
        "tx_gain_db": sounding.tx_gain_db,
        "clipped_samples": sounding.clipped_samples,
        "channel_real": sounding.response.real,
        "channel_imag": sounding.response.imag,
    }
