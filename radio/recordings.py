"""IQ of failed bursts, kept as SigMF recordings beside the run.

A recording holds the branch's samples around the burst, the grant's centre at 0 Hz. The ``airtune`` fields hold the
grant, so that the burst can be received again from the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, BurstReport, DataBurst, Window
from protocol.configuration import Experiment
from protocol.errors import DataError, StorageError
from protocol.files import write_atomically
from radio.limits import SILENT_SAMPLES, experiment_numerology
from radio.modem.layout import burst_decimation, burst_layout
from radio.sigmf import DATA_SUFFIX, LABEL_LETTERS, META_SUFFIX, SAMPLE_BYTES, global_fields, write_metadata

RECORDINGS = "iq"
"""Directory of a run that holds them."""


def recording_name(round_index: int, client: str, window_index: int) -> str:
    """Name of a burst's recording, without suffix."""
    return f"round-{round_index:04d}_client-{client}_window-{window_index:02d}"


class FailedBursts:
    """Keeps the IQ of failed bursts of a run in a directory, at most ``radio.keep_failed_iq_limit`` of them."""

    def __init__(self, directory: Path, experiment: Experiment) -> None:
        self._directory = directory
        self._experiment = experiment
        self._numerology = experiment_numerology(experiment)
        self._failed = False

    def keep(self, window: Window, burst: Burst, report: BurstReport, samples: NDArray[np.complex64]) -> str:
        """Write ``samples`` (the branch of ``burst``) if it was not detected or lost blocks; a warning, or "".

        A disk that refuses is told once; from then on nothing more is kept, and the run goes on.
        """
        if self._failed or (report.detected and None not in report.blocks):
            return ""
        try:
            with self._alone():
                self._write(window, burst, report, samples)
        except (OSError, StorageError, DataError) as error:
            self._failed = True
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return f"IQ of failed bursts is no longer kept: {reason}"
        return ""

    def _write(self, window: Window, burst: Burst, report: BurstReport, samples: NDArray[np.complex64]) -> None:
        name = recording_name(window.round_index, burst.client, window.index)
        data_path, meta_path = self._directory / (name + DATA_SUFFIX), self._directory / (name + META_SUFFIX)
        # A resumed run writes the recordings of the round it plays again over those of the broken one.
        if not meta_path.exists() and self._count() >= self._experiment.radio.keep_failed_iq_limit:
            return
        first, last = self._extent(burst, report, len(samples))
        data = np.ascontiguousarray(samples[first:last], "<c8").tobytes()
        meta = self._metadata(window, burst, report, first, data)
        write_atomically(data_path, data)
        try:
            write_metadata(meta_path, meta, len(data) // SAMPLE_BYTES)
        except (StorageError, DataError):
            if not meta_path.exists():
                data_path.unlink(missing_ok=True)
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two decoders share the directory and its limit."""
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _count(self) -> int:
        return sum(1 for _ in self._directory.glob(f"*_client-*{META_SUFFIX}"))

    def _extent(self, burst: Burst, report: BurstReport, n_samples: int) -> tuple[int, int]:
        """Which branch samples are kept: the burst and what a window has around it; all if it was not found."""
        if not report.detected:
            return 0, n_samples
        decimation = burst_decimation(burst, self._numerology)
        start, margin = round(report.start_sample / decimation), SILENT_SAMPLES // decimation
        length = burst_layout(burst, self._numerology).samples
        return max(start - margin, 0), min(start + length + margin, n_samples)

    def _metadata(self, window: Window, burst: Burst, report: BurstReport, first: int, data: bytes) -> dict[str, Any]:
        radio, numerology = self._experiment.radio, self._numerology
        about = f"Failed burst of {burst.client} in experiment {self._experiment.experiment.name}"
        centre_hz = radio.carrier_hz + numerology.centre_hz(burst.rb_start, burst.rb_count)
        return {
            "global": {
                **global_fields(numerology.sample_rate_hz / burst_decimation(burst, numerology), about, radio.driver),
                "core:sha512": hashlib.sha512(data).hexdigest(),
            },
            "captures": [{"core:sample_start": 0, "core:global_index": first, "core:frequency": centre_hz}],
            "annotations": [self._annotation(window, burst, report, first, len(data) // SAMPLE_BYTES)],
        }

    def _annotation(
        self, window: Window, burst: Burst, report: BurstReport, first: int, n_samples: int
    ) -> dict[str, Any]:
        low_hz, high_hz = self._numerology.edges_hz(burst.rb_start, burst.rb_count)
        start, count, comment = 0, n_samples, "not detected: anywhere in the recording"
        if report.detected:
            start = round(report.start_sample / burst_decimation(burst, self._numerology)) - first
            count = min(burst_layout(burst, self._numerology).samples, n_samples - start)
            comment = f"{sum(b is None for b in report.blocks)} of {len(report.blocks)} blocks failed"
        return {
            "core:sample_start": max(start, 0),
            "core:sample_count": count,
            "core:freq_lower_edge": self._experiment.radio.carrier_hz + low_hz,
            "core:freq_upper_edge": self._experiment.radio.carrier_hz + high_hz,
            "core:generator": "airtune",
            "core:label": burst.client[:LABEL_LETTERS],
            "core:comment": comment,
            "airtune:round": window.round_index,
            "airtune:window": window.index,
            "airtune:kind": window.kind,
            "airtune:client": burst.client,
            "airtune:burst_id": burst.burst_id,
            "airtune:mcs": burst.mcs if isinstance(burst, DataBurst) else "",
            "airtune:detected": report.detected,
            "airtune:burst": msgspec.to_builtins(burst),
        }
