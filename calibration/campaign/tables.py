"""A campaign as two Parquet tables: its soundings with their estimates, and its links (docs/campaign.md)."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from calibration.campaign.estimates import SoundingEstimates, SoundingGrid, estimate_sounding, sounding_grid
from calibration.campaign.plan import CampaignPlan
from calibration.campaign.records import Sounding
from calibration.campaign.summary import CampaignSummary, LinkSummary
from protocol.files import write_atomically
from radio.limits import experiment_numerology
from radio.quantity import Quantity

SOUNDINGS_TABLE, LINKS_TABLE = "soundings.parquet", "links.parquet"
_WITH_UNIT = re.compile(r"(.*?)_(db|hz|s)$")


def write_tables(
    directory: Path, plan: CampaignPlan, soundings: Sequence[Sounding], summary: CampaignSummary
) -> list[Path]:
    """Write both tables; the paths written. Raises StorageError."""
    # pyarrow takes a third of a second to import.
    import pyarrow as pa

    grid = sounding_grid(experiment_numerology(plan.experiment))
    told = {"airtune:campaign": plan.name, "airtune:driver": plan.experiment.radio.driver}
    links = pa.schema(_link_columns(pa), told)
    return [
        _write(directory / SOUNDINGS_TABLE, [_row(s, grid) for s in soundings], pa.schema(_columns(pa), told)),
        _write(directory / LINKS_TABLE, [_link_row(link) for link in summary.links], links),
    ]


def _write(path: Path, rows: list[dict[str, Any]], schema: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    write_atomically(path, buffer.getvalue())
    return path


def _link_columns(pa: Any) -> list[tuple[str, Any]]:
    """The fields of a link's summary; an estimate has a second column with its uncertainty."""
    columns: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(LinkSummary):
        if field.type in (Quantity, Quantity | None):
            columns += [(field.name, pa.float64()), (uncertainty_name(field.name), pa.float64())]
        elif field.name == "fading":
            columns += [
                ("fading_model", pa.string()),
                ("fading_distance", pa.float64()),
                ("fading_p_value", pa.float64()),
            ]
        else:
            columns.append((field.name, {str: pa.string(), int: pa.int64()}.get(field.type, pa.float64())))
    return columns


def uncertainty_name(name: str) -> str:
    """Column of an estimate's uncertainty: ``gain_uncertainty_db`` of ``gain_db``."""
    match = _WITH_UNIT.match(name)
    return f"{match[1]}_uncertainty_{match[2]}" if match else f"{name}_uncertainty"


def _link_row(link: LinkSummary) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in link.__struct_fields__:
        value = getattr(link, name)
        if isinstance(value, Quantity):
            row[name], row[uncertainty_name(name)] = value.value, value.uncertainty
        elif name != "fading":
            row[name] = value
    if link.fading:
        best = link.fading[0]
        row |= {"fading_model": best.model, "fading_distance": best.distance, "fading_p_value": best.p_value}
    return row


def _columns(pa: Any) -> list[tuple[str, Any]]:
    number, numbers = pa.float64(), pa.list_(pa.float64())
    return [
        ("sweep", pa.int64()), ("transmitter", pa.string()), ("receiver", pa.string()), ("time_s", number),
        ("taken_at", pa.string()), ("detected", pa.bool_()), ("distance_m", number), ("transmitter_m", numbers),
        ("receiver_m", numbers), ("note", pa.string()), ("gain_db", number), ("gain_uncertainty_db", number),
        ("level_uncertainty_db", number),
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
        "level_uncertainty_db": sounding.level_uncertainty_db,
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
