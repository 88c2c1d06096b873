"""IQ of every window of a run, as one SigMF recording a round that grows window by window.

After each window the data file holds whole windows up to there, and the metadata, replaced by rename, says so: killed
at any moment, a recording is valid up to the last window that was flushed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, Window
from protocol.configuration import Experiment
from protocol.errors import DataError, StorageError
from radio.limits import experiment_numerology
from radio.sigmf import (
    DATA_SUFFIX,
    LABEL_LETTERS,
    META_SUFFIX,
    SAMPLE_BYTES,
    file_sha512,
    global_fields,
    read_metadata,
    write_metadata,
)

MEGABYTE = 1_000_000


def round_recording(round_index: int) -> str:
    """Name of a round's recording, without suffix."""
    return f"round-{round_index:04d}"


class WindowRecorder:
    """Records windows into a directory until ``radio.record_iq_limit_mb`` are full; for one process."""

    def __init__(self, directory: Path, experiment: Experiment) -> None:
        self._directory = directory
        self._experiment = experiment
        self._recording: _GrowingRecording | None = None
        self._stopped = False

    def record(self, window: Window, bursts: Sequence[Burst], samples: NDArray[np.complex64]) -> str:
        """Append ``samples``, complex64 (n,), of a window in which ``bursts`` were looked for.

        A window recorded before, by a run that was stopped and plays the round again, is replaced with all that came
        after it. Returns a warning, or "": a full disk or limit is told once, then nothing more is recorded.
        """
        if self._stopped:
            return ""
        try:
            if self._is_full(window, samples):
                return self._stop(f"radio.record_iq_limit_mb = {self._experiment.radio.record_iq_limit_mb} are full")
            self._recording_of(window).append(window, bursts, samples)
        except (OSError, StorageError, DataError) as error:
            return self._stop(str((error.strerror or error) if isinstance(error, OSError) else error))
        return ""

    def close(self) -> None:
        """End the recording that grows; it then has a hash."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()

    def _stop(self, reason: str) -> str:
        self._stopped = True
        return f"IQ is no longer recorded: {reason}"

    def _is_full(self, window: Window, samples: NDArray[np.complex64]) -> bool:
        """Whether this window would exceed the limit; what is there of it already will be replaced."""
        limit = self._experiment.radio.record_iq_limit_mb * MEGABYTE
        files = self._directory.glob(f"*{DATA_SUFFIX}")
        return sum(file.stat().st_size for file in files) + samples.size * SAMPLE_BYTES > limit

    def _recording_of(self, window: Window) -> _GrowingRecording:
        if self._recording is None or self._recording.round_index != window.round_index:
            self.close()
            self._directory.mkdir(parents=True, exist_ok=True)
            self._recording = _GrowingRecording(self._directory, self._experiment, window)
        return self._recording


class _GrowingRecording:
    """One round's recording, open for appending."""

    def __init__(self, directory: Path, experiment: Experiment, first: Window) -> None:
        self.round_index = first.round_index
        self._experiment = experiment
        self._numerology = experiment_numerology(experiment)
        name = round_recording(first.round_index)
        self._data_path, self._meta_path = directory / (name + DATA_SUFFIX), directory / (name + META_SUFFIX)
        self._meta, self._samples = self._kept(first)
        self._data: BinaryIO = self._data_path.open("ab")
        # What is cut off must not be described any longer, whenever we are killed.
        self._write_meta()
        self._data.truncate(self._samples * SAMPLE_BYTES)
        self._hash = file_sha512(self._data_path)

    def append(self, window: Window, bursts: Sequence[Burst], samples: NDArray[np.complex64]) -> None:
        """Data first, then the metadata that counts it."""
        content = np.ascontiguousarray(samples, "<c8").tobytes()
        try:
            self._data.write(content)
            self._data.flush()
            os.fsync(self._data.fileno())
        except OSError:
            os.truncate(self._data_path, self._samples * SAMPLE_BYTES)
            raise
        self._hash.update(content)
        self._meta["captures"].append(self._capture(window, len(samples)))
        self._meta["annotations"] += [self._annotation(window, burst, len(samples)) for burst in bursts]
        self._samples += len(samples)
        self._write_meta()

    def close(self) -> None:
        """Nothing more comes: the metadata, to which others may have added (a campaign), gets the hash of the data."""
        self._data.close()
        self._meta = read_metadata(self._meta_path, self._samples)
        self._meta["global"]["core:sha512"] = self._hash.hexdigest()
        self._write_meta()

    def _kept(self, first: Window) -> tuple[dict[str, Any], int]:
        """Metadata of the windows before ``first`` that are recorded already, and how many samples they have."""
        radio = self._experiment.radio
        description = f"Round {self.round_index} of experiment {self._experiment.experiment.name}: every window"
        fresh = global_fields(radio.sample_rate_hz, description, radio.driver)
        empty: dict[str, Any] = {"global": fresh, "captures": [], "annotations": []}
        if not (self._data_path.is_file() and self._meta_path.is_file()):
            return empty, 0
        try:
            meta = read_metadata(self._meta_path, self._data_path.stat().st_size // SAMPLE_BYTES)
            captures = [c for c in meta["captures"] if c["airtune:window"] < first.index]
            annotations = [a for a in meta["annotations"] if a["airtune:window"] < first.index]
            samples = sum(c["airtune:samples"] for c in captures)
        except (DataError, KeyError):  # not ours, or damaged: the round is recorded anew
            return empty, 0
        return {"global": fresh, "captures": captures, "annotations": annotations}, samples

    def _capture(self, window: Window, samples: int) -> dict[str, Any]:
        return {
            "core:sample_start": self._samples,
            "core:frequency": self._experiment.radio.carrier_hz,
            "core:datetime": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "airtune:round": window.round_index,
            "airtune:window": window.index,
            "airtune:kind": window.kind,
            "airtune:samples": samples,
        }

    def _annotation(self, window: Window, burst: Burst, samples: int) -> dict[str, Any]:
        low_hz, high_hz = self._numerology.edges_hz(burst.rb_start, burst.rb_count)
        carrier_hz = self._experiment.radio.carrier_hz
        return {
            "core:sample_start": self._samples,
            "core:sample_count": samples,
            "core:freq_lower_edge": carrier_hz + low_hz,
            "core:freq_upper_edge": carrier_hz + high_hz,
            "core:generator": "airtune",
            "core:label": burst.client[:LABEL_LETTERS],
            "core:comment": f"{window.kind} burst of {burst.client}, somewhere in this window",
            "airtune:round": window.round_index,
            "airtune:window": window.index,
            "airtune:kind": window.kind,
            "airtune:client": burst.client,
            "airtune:burst_id": burst.burst_id,
            "airtune:burst": msgspec.to_builtins(burst),
        }

    def _write_meta(self) -> None:
        write_metadata(self._meta_path, self._meta, self._samples)
