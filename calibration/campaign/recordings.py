"""SigMF recordings of a campaign: what the receiver recorded, with who stood where and what was measured added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibration.campaign.plan import WINDOWS_PER_SOUNDING, CampaignPlan, Origin
from calibration.campaign.records import Sounding
from radio.recordings import RECORDINGS
from radio.sigmf import DATA_SUFFIX, META_SUFFIX, SAMPLE_BYTES, file_sha512, read_metadata, write_metadata
from radio.window_recordings import round_recording

EQUATOR_M, FLATTENING = 6_378_137.0, 1.0 / 298.257223563
"""WGS 84."""


class CampaignRecordings:
    """Completes the recording of each finished sweep, if the experiment records IQ."""

    def __init__(self, directory: Path, plan: CampaignPlan) -> None:
        self._directory = directory / RECORDINGS
        self._plan = plan

    def finish(self, sweep: int, soundings: Sequence[Sounding]) -> None:
        """Add geolocation, positions, measured values and a hash to a sweep's recording; checked before written.

        Raises DataError if what is there is no recording of ours, StorageError.
        """
        meta_path = self._directory / (round_recording(sweep) + META_SUFFIX)
        data_path = self._directory / (round_recording(sweep) + DATA_SUFFIX)
        if not (self._plan.experiment.radio.record_iq and meta_path.is_file()):
            return
        samples = data_path.stat().st_size // SAMPLE_BYTES
        meta = read_metadata(meta_path, samples)
        meta["global"]["core:description"] = f"Sweep {sweep} of campaign {self._plan.name}"
        meta["global"]["airtune:campaign"] = self._plan.name
        if self._plan.campaign.notes:
            meta["global"]["airtune:notes"] = self._plan.campaign.notes
        by_window = {sounding.window: sounding for sounding in soundings}
        for capture in meta["captures"]:
            capture.update(self._capture_fields(capture["airtune:window"], soundings))
        for annotation in meta["annotations"]:
            sounding = by_window.get(annotation["airtune:window"])
            if sounding is not None:
                annotation.update(_annotation_fields(sounding))
        meta["global"]["core:sha512"] = file_sha512(data_path).hexdigest()
        write_metadata(meta_path, meta, samples)

    def _capture_fields(self, window: int, soundings: Sequence[Sounding]) -> dict[str, Any]:
        """Of the receiver: the sounding that the window was for says who it was and where."""
        sounding = soundings[window // WINDOWS_PER_SOUNDING]
        fields: dict[str, Any] = {"airtune:receiver": sounding.receiver, "airtune:time_s": sounding.time_s}
        if sounding.receiver_m is not None:
            fields["airtune:receiver_m"] = sounding.receiver_m
            if self._plan.campaign.origin is not None:
                fields["core:geolocation"] = geolocation(self._plan.campaign.origin, sounding.receiver_m)
        return fields


def _annotation_fields(sounding: Sounding) -> dict[str, Any]:
    fields: dict[str, Any] = {"airtune:detected": sounding.detected}
    if sounding.transmitter_m is not None:
        fields["airtune:transmitter_m"] = sounding.transmitter_m
    if sounding.distance_m is not None:
        fields["airtune:distance_m"] = sounding.distance_m
    if sounding.note:
        fields["airtune:note"] = sounding.note
    if sounding.detected:
        fields["airtune:gain_db"] = sounding.mean_gain_db
        fields["airtune:sinr_db"] = sounding.sinr_db
        fields["airtune:cfo_hz"] = sounding.cfo_hz
    return fields


def geolocation(origin: Origin, position_m: Sequence[float]) -> dict[str, Any]:
    """GeoJSON point (longitude, latitude, altitude) of a position east, north and up of ``origin``.

    On the tangent plane: good to a centimetre within a kilometre. Source: WGS 84, radii of curvature.
    """
    east, north, up = [*position_m, 0.0][:3]
    squared_eccentricity = FLATTENING * (2.0 - FLATTENING)
    latitude = math.radians(origin.latitude_deg)
    root = math.sqrt(1.0 - squared_eccentricity * math.sin(latitude) ** 2)
    prime_vertical, meridian = EQUATOR_M / root, EQUATOR_M * (1.0 - squared_eccentricity) / root**3
    longitude_deg = origin.longitude_deg
    if abs(origin.latitude_deg) < 90.0:
        longitude_deg += math.degrees(east / (prime_vertical * math.cos(latitude)))
    return {
        "type": "Point",
        "coordinates": [longitude_deg, origin.latitude_deg + math.degrees(north / meridian), origin.altitude_m + up],
    }
